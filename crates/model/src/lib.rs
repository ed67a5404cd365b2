//! The life of an image as a model: every interleaving of a few processors, images and a redeemer is searched, not some.
//!
//! The faults and the soak run the real system and find what chance brings. This crate runs no SQL. It says in Rust what
//! each statement of the SQL of images does to a row, lets any step follow any other, and lets each of them be the last one
//! of its process. The checker of the crate `stateright` then visits every state that can be reached and asks whether each
//! [`Promise`] still holds there. [`ends`] asks the rest: whether from each of these states every image still comes to its end.
//!
//! - [`row`]: a row of the table `images`, and each statement that changes it
//! - [`slot`]: a processor's work on one image
//! - [`run`]: a run that has images looked at again
//! - [`state`]: all of that together
//! - [`step`]: what can happen next, and which function of the real code does it
//! - [`life`]: the model itself
//! - [`promise`]: what must hold; [`search`]: whether it does
//! - [`mutation`]: one fault for each safeguard of the protocol; each is found, which shows that the search can find it
//!
//! # What is simplified, and why nothing is missed by it
//!
//! - **Time** is a choice. A lease may run out at any moment, a PENDING image may be old enough for the sweep at any moment.
//!   So a processor that is frozen, slow, or behind a slow network is every processor here.
//! - **The queue** is a choice, too. A message for a stored image may arrive never, once, or any number of times, at any
//!   moment. This contains every queue: one that loses messages, repeats them, or delivers them late.
//! - **A processor** has one slot. Slots of one process share nothing that decides about a row, so two slots are two processors.
//! - **A token** is compared for equality and nothing else. So it is the number of the slot that drew it, and it is forgotten
//!   when that slot ends its work: no later token equals it.
//! - **What recognition finds** is only: something, a failed try, a broken call, or nothing learnt.
//! - **Which failure is redeemable** is left open: the redeemer may bring back any failed image, or none.
//! - **The redeemer** takes one image in one transaction at any moment. So one redeemer behaves as any number of them.

pub mod bounds;
pub mod columns;
pub mod ends;
pub mod life;
pub mod mutation;
pub mod promise;
pub mod row;
pub mod run;
pub mod search;
pub mod slot;
pub mod state;
pub mod step;
pub mod trace;

pub use bounds::Bounds;
pub use life::Life;
pub use mutation::Mutation;
pub use promise::Promise;
