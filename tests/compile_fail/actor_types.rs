#[rustyray::actor]
struct Store<T> {
    values: Vec<T>,
}

#[rustyray::actor_methods]
impl<T> Store<T> {
    pub fn new() -> Self {
        Store { values: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }
}

#[rustyray::actor]
struct Unmade;

#[rustyray::actor_methods]
impl Unmade {
    fn new() -> Self {
        Unmade
    }

    pub fn get(&self) {}
}

#[rustyray::actor]
struct Doubled;

#[rustyray::actor_methods]
impl Doubled {
    pub fn new() -> Self {
        Doubled
    }

    pub fn remote(&self) {}
}

fn main() {}
