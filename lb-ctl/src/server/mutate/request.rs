//! What a client asked for, so that asking again is known from asking for something else.

use uuid::Uuid;

use super::{Mutation, Object};
use crate::resources::fingerprint;
use crate::server::ApiState;
use crate::server::error::{ApiError, ApiResult};
use crate::server::operation::{Repeat, RequestKey};

#[derive(Clone)]
pub(super) struct Asked {
    id: Option<Uuid>,
    /// Of the body.
    content: String,
}

impl Asked {
    pub(super) fn new(request_id: Option<&str>, body: &Object) -> ApiResult<Self> {
        Ok(Self {
            id: request_id.map(request_uuid).transpose()?,
            content: fingerprint(body),
        })
    }
}

fn request_uuid(text: &str) -> ApiResult<Uuid> {
    let id = Uuid::try_parse(text).ok().filter(|id| !id.is_nil());
    id.ok_or_else(|| ApiError::invalid("requestId", text, "Must be a UUID, and not the zero UUID."))
}

impl Mutation {
    pub(super) fn request_key(&self) -> Option<RequestKey> {
        Some(RequestKey {
            id: self.asked.id?.to_string(),
            verb: self.verb,
            target: self.target.clone(),
            content: self.asked.content.clone(),
        })
    }

    /// The operation of the same request, when it was done already.
    pub(super) fn done_before(&self, state: &ApiState) -> ApiResult<Option<serde_json::Value>> {
        let Some(key) = self.request_key() else {
            return Ok(None);
        };
        match state.operations().repeat(&self.place.project, &key) {
            Repeat::New => Ok(None),
            Repeat::Same(operation) => Ok(Some(operation.clone())),
            Repeat::Other(operation) => Err(ApiError::invalid(
                "requestId",
                &key.id,
                &format!("Another request had this id; its operation is {operation}."),
            )),
        }
    }
}
