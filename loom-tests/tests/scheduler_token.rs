//! The token: whoever does not get it leaves its event, and no event is stranded.
#![cfg(rustyray_loom)]

use std::sync::Arc;

use loom::{cell::UnsafeCell, thread};
use rustyray_scheduler::models::{Owner, Token};

/// What was applied, in order; loom sees who reaches it when.
type State = UnsafeCell<Vec<u32>>;

fn apply(owner: &mut Owner<'_, State, u32>, event: u32) {
    owner.state().with_mut(|applied| {
        // SAFETY: the owner is the only one to reach the state, which is what is being checked.
        unsafe { &mut *applied }.push(event);
    });
}

fn take(owner: &mut Owner<'_, State, u32>) {
    for event in owner.look_again() {
        apply(owner, event);
    }
}

/// As the scheduler does it.
fn bring(token: &Token<State, u32>, event: u32) {
    let mut owner = match token.enter() {
        Some(mut owner) => {
            apply(&mut owner, event);
            owner
        }
        None => match token.leave(event) {
            Some(mut owner) => {
                take(&mut owner);
                owner
            }
            None => return,
        },
    };
    while let Err(again) = owner.let_go() {
        owner = again;
        take(&mut owner);
    }
}

fn applied(token: &Token<State, u32>) -> Vec<u32> {
    let mut owner = token.enter().expect("it was given back");
    owner.state().with_mut(|applied| {
        // SAFETY: as in `apply`.
        unsafe { &*applied }.clone()
    })
}

#[test]
fn no_event_is_stranded() {
    loom::model(|| {
        let token = Arc::new(Token::new(UnsafeCell::new(Vec::new())));
        let others = [1, 2].map(|event| {
            let token = Arc::clone(&token);
            thread::spawn(move || bring(&token, event))
        });
        bring(&token, 3);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(!token.has_mail());
        let mut applied = applied(&token);
        applied.sort_unstable();
        assert_eq!(applied, [1, 2, 3]);
    });
}

#[test]
fn the_events_of_one_thread_stay_in_order() {
    loom::model(|| {
        let token = Arc::new(Token::new(UnsafeCell::new(Vec::new())));
        let other = {
            let token = Arc::clone(&token);
            thread::spawn(move || {
                bring(&token, 1);
                bring(&token, 2);
            })
        };
        bring(&token, 11);
        bring(&token, 12);
        other.join().unwrap();
        let applied = applied(&token);
        let place = |event| applied.iter().position(|&known| known == event);
        assert!(place(1) < place(2) && place(11) < place(12), "{applied:?}");
        assert_eq!(applied.len(), 4);
    });
}

/// A thread that is telling the host leaves its events quietly, and looks when it is done.
#[test]
fn what_was_left_quietly_is_taken_after_the_knock() {
    loom::model(|| {
        let token = Arc::new(Token::new(UnsafeCell::new(Vec::new())));
        let other = {
            let token = Arc::clone(&token);
            thread::spawn(move || bring(&token, 1))
        };
        token.leave_quietly(2);
        if token.has_mail()
            && let Some(mut owner) = token.knock()
        {
            take(&mut owner);
            while let Err(again) = owner.let_go() {
                owner = again;
                take(&mut owner);
            }
        }
        other.join().unwrap();
        let mut applied = applied(&token);
        applied.sort_unstable();
        assert_eq!(applied, [1, 2]);
    });
}
