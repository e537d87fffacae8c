struct Opaque(std::net::TcpStream);

#[rustyray::remote]
fn takes(_opaque: Opaque) -> u64 {
    0
}

#[rustyray::remote]
fn gives(_count: u64) -> Vec<Opaque> {
    Vec::new()
}

#[rustyray::remote]
fn may_give(_count: u64) -> Result<Opaque, String> {
    Err(String::new())
}

#[rustyray::actor]
struct Holder(Opaque);

#[rustyray::actor_methods]
impl Holder {
    pub fn new(opaque: Opaque) -> Self {
        Holder(opaque)
    }

    pub async fn give(self: &Self) -> Option<Opaque> {
        None
    }

    pub fn fine(&self) -> u64 {
        1
    }
}

fn main() {}
