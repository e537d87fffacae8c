//! A handle has the methods that are visible, and no others.

mod bank {
    #[rustyray::actor]
    pub struct Account {
        balance: i64,
    }

    #[rustyray::actor_methods]
    impl Account {
        pub fn new() -> Self {
            Account { balance: 0 }
        }

        pub fn deposit(&mut self, amount: i64) -> i64 {
            self.add(amount)
        }

        fn add(&mut self, amount: i64) -> i64 {
            self.balance += amount;
            self.balance
        }
    }
}

async fn rob(account: &bank::AccountHandle) -> rustyray::Result<()> {
    account.deposit(1).await?;
    account.add(1).await?;
    account.try_add(1).await?;
    Ok(())
}

fn main() {}
