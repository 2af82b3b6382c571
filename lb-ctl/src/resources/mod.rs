//! Compute Engine resources: documents, validation, the store.
