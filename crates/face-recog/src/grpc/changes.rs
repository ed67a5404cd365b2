//! What has changed of the known people since kept faces were compared with them, so that a million kept faces are compared
//! with one new picture, and not with ten thousand old ones again.

use common::embedding;
use rpc::{Change, ChangesResponse};
use tonic::Status;

use crate::grpc::{Service, find::gallery_id};

impl Service {
    /// What is other than in the gallery `before`.
    pub(crate) fn changes_since(&self, before: u64) -> Result<ChangesResponse, Status> {
        let (gallery, tolerance) = (self.gallery()?, self.tolerance);
        // With another tolerance other pictures match, changed or not.
        let changed = gallery.changed_since(before.wrapping_sub(tolerance.to_bits()));
        let known = changed.is_some();
        let change = |name: &str| Change {
            image_name: name.to_owned(),
            embedding: gallery.embedding(name).map(embedding::write).unwrap_or_default(),
        };
        let changes = changed.into_iter().flatten().map(change).collect();
        let (gallery, model) = (gallery_id(&gallery, tolerance), self.model.to_string());
        Ok(ChangesResponse { known, changes, gallery, model, tolerance })
    }
}
