//! Who asked for a change, and waits for an answer.

use std::sync::Arc;

use super::super::Controller;
use super::super::handle::Reply;
use super::prepare::Prepared;
use crate::control::{ApplyReport, ControlError};

pub(in super::super) enum Asker {
    Apply(Reply<ApplyReport>),
    Other(Reply<()>),
    /// The files of `--config`, which are followed.
    Files,
    /// The controller itself, which can do without.
    Nobody,
}

impl Asker {
    pub(super) fn grant(self, controller: &mut Controller, prepared: Prepared) {
        match self {
            Self::Apply(reply) => drop(reply.send(Ok(prepared.report))),
            Self::Other(reply) => drop(reply.send(Ok(()))),
            Self::Nobody => {}
            Self::Files => controller.files_accepted(prepared.files.map(Arc::unwrap_or_clone)),
        }
    }

    pub(super) fn refuse(self, controller: &mut Controller, error: ControlError) {
        match self {
            Self::Apply(reply) => drop(reply.send(Err(error))),
            Self::Other(reply) => drop(reply.send(Err(error))),
            Self::Files => controller.files_refused(error),
            Self::Nobody => tracing::warn!("{error}"),
        }
    }
}
