//! Which fields a kind has, for those who name fields: filters.

use super::{Shape, table};
use crate::resources::kind::Kind;

/// What is at the end of a path of field names. A list is what its elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldShape {
    Bool,
    Number,
    Text,
    /// With fields or keys of its own.
    Object,
    /// Not described any further.
    Open,
}

/// Nothing when resources of the kind have no such field.
pub fn field_shape(kind: Kind, path: &[String]) -> Option<FieldShape> {
    let (first, rest) = path.split_first()?;
    let field = table(kind).iter().find(|field| field.name == first)?;
    inside(&field.shape, rest)
}

fn inside(shape: &'static Shape, path: &[String]) -> Option<FieldShape> {
    match (shape, path) {
        (Shape::List(of, _), _) => inside(of, path),
        (Shape::Any, _) => Some(FieldShape::Open),
        (Shape::Object(_) | Shape::Map, []) => Some(FieldShape::Object),
        (Shape::Map, [_key]) => Some(FieldShape::Text),
        (Shape::Object(fields), [name, rest @ ..]) => {
            let field = fields.iter().find(|field| field.name == name)?;
            inside(&field.shape, rest)
        }
        (Shape::Bool, []) => Some(FieldShape::Bool),
        (Shape::Int(..) | Shape::Long | Shape::Float(..), []) => Some(FieldShape::Number),
        (Shape::Text(_) | Shape::Name | Shape::Enum(..) | Shape::Reference(_), []) => Some(FieldShape::Text),
        (_, [_, ..]) => None,
    }
}
