struct Silent;

#[rustyray::remote]
fn fails() -> Result<u64, Silent> {
    Err(Silent)
}

type Result2<T> = Option<T>;
mod odd {
    pub type Result<T> = Option<T>;
}

#[rustyray::remote]
fn odd() -> odd::Result<u64> {
    None
}

#[rustyray::main]
async fn main() -> Result<(), Silent> {
    Err(Silent)
}
