//! Takes announced pictures, has them recognised and stores who is on them.
