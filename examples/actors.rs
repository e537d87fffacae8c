//! A struct becomes an actor: a process of its own that keeps state between calls.
//!
//! `cargo run --example actors`

#![allow(unreachable_pub)] // what is `pub` in an actor is what other processes may call

#[rustyray::actor]
struct Account {
    owner: String,
    balance: i64,
}

#[rustyray::actor_methods]
impl Account {
    pub fn new(owner: String) -> Self {
        Account { owner, balance: 0 }
    }

    /// Calls with `&mut self` run one at a time, in the order in which a caller makes them.
    pub fn deposit(&mut self, amount: i64) -> i64 {
        self.balance += amount;
        self.balance
    }

    /// An error arrives where the result is asked for, and the actor lives on.
    pub fn withdraw(&mut self, amount: i64) -> Result<i64, String> {
        if amount > self.balance {
            return Err(format!("{} has {}, not {amount}", self.owner, self.balance));
        }
        self.balance -= amount;
        Ok(self.balance)
    }
}

/// A handle is an argument like any other.
#[rustyray::remote]
async fn save(account: AccountHandle, amounts: Vec<i64>) -> Result<i64, rustyray::Error> {
    let mut balance = 0;
    for amount in amounts {
        balance = account.deposit(amount).await?.get().await?;
    }
    Ok(balance)
}

#[rustyray::main]
async fn main() -> rustyray::Result<()> {
    let account = Account::options().name("savings").remote("Ada".to_owned()).await?;
    account.deposit(100).await?;
    let left = account.withdraw(30).await?;
    println!("{} left", left.get().await?);

    let refused = account.withdraw(1_000).await?.get().await;
    println!("refused: {}", refused.expect_err("there is not that much"));

    // By its name it is found from anywhere in the session.
    let same = Account::get("savings").await?;
    let saved = save_remote::remote(same, vec![1, 2, 3]).await?;
    println!("{} after saving", saved.get().await?);
    Ok(())
}
