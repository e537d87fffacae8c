struct Silent;

#[rustyray::remote]
fn fails() -> Result<u64, Silent> {
    Err(Silent)
}

#[rustyray::remote]
fn says() -> Result<u64, String> {
    Err("why".to_owned())
}

fn main() {}
