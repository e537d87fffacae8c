#[rustyray::remote]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    add_remote::remote("one", 2).await?;
    let text = rustyray::put(&String::from("three")).await?;
    add_remote::remote(1, &text).await?;
    add_remote::remote(1).await?;
    Ok(())
}
