struct Counter(i64);

impl Counter {
    #[rustyray::remote]
    fn add(&mut self, amount: i64) -> i64 {
        self.0 += amount;
        self.0
    }
}

fn main() {
    let _ = Counter(1).add(2);
}
