#[rustyray::remote]
const unsafe extern "C" fn fixed() -> u64 {
    7
}

#[rustyray::remote]
fn patterns(mut fine: u64, (left, right): (u64, u64), _: u64) -> u64 {
    fine += left;
    fine + right
}

struct Counter;

#[rustyray::remote]
struct NotAFunction;

#[rustyray::actor]
fn not_a_type() {}

#[rustyray::actor_methods]
impl Clone for Counter {
    fn clone(&self) -> Self {
        Counter
    }
}

fn main() {
    let _ = patterns_remote::remote(1, (2, 3), 4);
    let _ = fixed_remote::remote();
}
