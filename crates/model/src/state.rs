//! All that there is: the rows, the processors, the run.

use stateright::Representative;

use crate::{
    Promise,
    bounds::{MOST_IMAGES, MOST_SLOTS},
    columns::{SlotNumber, Status},
    row::Row,
    run::Run,
    slot::{Phase, Slot},
};

/// An image. Ids are given in the order of the INSERTs and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Image {
    /// Nobody has posted it.
    NotPosted,
    /// The receiver has answered, but not stored it: a fault by itself, see
    /// [`Mutation::AnswerBeforeCommit`](crate::Mutation::AnswerBeforeCommit).
    Promised,
    /// It has a row.
    Stored(Row),
    /// It was deleted.
    Deleted,
}

/// A state of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    /// The processors.
    pub slots: [Slot; MOST_SLOTS],
    /// The images. Those beyond the bounds are never posted.
    pub images: [Image; MOST_IMAGES],
    /// The run.
    pub run: Run,
    /// The image that a redeemer or the retention has read and not yet written: only with
    /// [`Mutation::RedeemWithoutLock`](crate::Mutation::RedeemWithoutLock) and
    /// [`Mutation::RetentionWithoutLock`](crate::Mutation::RetentionWithoutLock).
    pub read: Option<u8>,
    /// The first promise that was broken on the way here.
    pub broken: Option<Promise>,
}

impl State {
    /// So many processors, to which nothing has been posted.
    pub fn with(slots: usize) -> Self {
        Self {
            slots: std::array::from_fn(|number| if number < slots { Slot::Idle } else { Slot::Absent }),
            images: [Image::NotPosted; MOST_IMAGES],
            run: Run::None,
            read: None,
            broken: None,
        }
    }

    /// The row of an image, if it has one.
    pub fn row(&self, image: u8) -> Option<&Row> {
        match &self.images[usize::from(image)] {
            Image::Stored(row) => Some(row),
            _ => None,
        }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.images.iter().filter_map(|image| match image {
            Image::Stored(row) => Some(row),
            _ => None,
        })
    }

    /// Whether nothing is left to be done: every image has ended or is gone, and no run is running.
    pub fn has_ended(&self) -> bool {
        self.rows().all(Row::has_ended)
            && !self.images.contains(&Image::Promised)
            && !matches!(self.run, Run::Next(_))
    }

    /// How many calls for quarantined images are under way.
    pub fn turns(&self) -> usize {
        let in_turn = |slot: &&Slot| matches!(slot, Slot::Working(work) if work.phase == Phase::InTurn);
        self.slots.iter().filter(in_turn).count()
    }

    /// Whether some processor works on an image that is not its own any more.
    pub fn has_stale_owner(&self) -> bool {
        (0..).zip(&self.slots).any(|(number, slot)| match slot {
            Slot::Working(work) => self.row(work.image).is_none_or(|row| row.token != Some(number)),
            _ => false,
        })
    }

    /// Whether an image has this status.
    pub fn has(&self, status: Status) -> bool {
        self.rows().any(|row| row.status == status)
    }

    fn with_slots_in(&self, order: [usize; MOST_SLOTS]) -> Self {
        let place = |number: SlotNumber| {
            let place = order.iter().position(|&old| old == usize::from(number));
            place.and_then(|place| SlotNumber::try_from(place).ok())
        };
        let mut state = *self;
        state.slots = order.map(|old| self.slots[old]);
        for image in &mut state.images {
            if let Image::Stored(row) = image {
                row.token = row.token.and_then(place);
                row.owner = row.owner.and_then(place);
            }
        }
        state
    }
}

/// No processor differs from another but by its number. So one state stands for those that differ in the numbers alone.
impl Representative for State {
    fn representative(&self) -> Self {
        const ORDERS: [[usize; MOST_SLOTS]; 6] =
            [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        // The least of them is one whose slots rise; there is one such order alone where all slots differ.
        let mut order = ORDERS[0];
        order.sort_by_key(|&slot| self.slots[slot]);
        let [a, b, c] = order.map(|slot| self.slots[slot]);
        if a < b && b < c {
            return self.with_slots_in(order);
        }
        ORDERS.iter().map(|&order| self.with_slots_in(order)).min().unwrap_or(*self)
    }
}
