//! The protocol as it is keeps every promise, in every state that can be reached, and leads to an end from each of them.

use model::{Bounds, Life, ends::Graph, search};

/// Two images, two processors, two tries, one redeemer that brings each image back once.
const BOUNDS: Bounds = Bounds {
    images: 2,
    slots: 2,
    max_attempts: 2,
    max_redeems: 1,
    quarantine: false,
    look_again: false,
    run: false,
};

/// `states`: how many there are, as docs/reliability.md says.
fn holds(bounds: Bounds, states: usize) {
    let life = Life::real(bounds);
    let found = search::all(life);
    if !found.broken.is_empty() {
        // The shortest trace says most.
        panic!("{}", search::until_broken(life).traces());
    }
    assert_eq!(found.impossible, Vec::<&str>::new(), "the model is too narrow to show anything");
    let graph = Graph::of(&life);
    if let Some(stuck) = graph.stuck() {
        panic!(
            "an image is stuck when face-recog behaves like this: {:?}\n{}",
            stuck.face_recog, stuck.trace
        );
    }
    assert_eq!(graph.len(), found.states, "both searches visit the same states");
    assert_eq!(found.states, states, "say so in docs/reliability.md, too");
}

#[test]
fn two_images_are_posted_claimed_tried_redeemed_and_deleted() {
    holds(BOUNDS, 30_381);
}

#[test]
fn two_images_break_face_recog_off() {
    holds(Bounds { max_redeems: 0, quarantine: true, ..BOUNDS }, 84_446);
}

#[test]
fn two_images_are_looked_at_again_one_by_one() {
    holds(Bounds { max_redeems: 0, look_again: true, ..BOUNDS }, 50_865);
}

#[test]
fn a_run_has_two_images_looked_at_again() {
    holds(Bounds { max_redeems: 0, run: true, ..BOUNDS }, 158_072);
}

#[test]
fn three_processors_share_two_images() {
    holds(Bounds { slots: 3, max_redeems: 0, ..BOUNDS }, 70_555);
}

#[test]
fn one_image_meets_everything_at_once() {
    holds(Bounds { images: 1, quarantine: true, look_again: true, run: true, ..BOUNDS }, 50_187);
}

#[test]
fn an_image_has_three_tries_and_is_redeemed_twice() {
    holds(Bounds { images: 1, max_attempts: 3, max_redeems: 2, quarantine: true, ..BOUNDS }, 6_574);
}
