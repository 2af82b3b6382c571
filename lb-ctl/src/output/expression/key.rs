//! A key into a resource: field names, `[]` for every item of a list, `[N]` for one, and transforms of the result.

use serde_json::{Value, json};

use super::cursor::{Cursor, SyntaxError};
use super::transform::{Arguments, Transform};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::output) struct Key {
    steps: Vec<Step>,
    transforms: Vec<Transform>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Of every item of a list.
    Each,
    /// Counted from the end when negative.
    Item(i64),
}

impl Key {
    pub(in crate::output) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, SyntaxError> {
        let mut key = Self {
            steps: Vec::new(),
            transforms: Vec::new(),
        };
        loop {
            key.part(cursor)?;
            while cursor.eat("[") {
                key.subscript(cursor)?;
            }
            if !cursor.eat(".") {
                return Ok(key);
            }
        }
    }

    /// A field name, or a transform with its arguments.
    fn part(&mut self, cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
        let before = cursor.clone();
        let name = match cursor.quoted()? {
            Some(name) => name,
            None => cursor
                .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/'))
                .to_owned(),
        };
        if name.is_empty() {
            return Err(cursor.error("expected the name of a field"));
        }
        if cursor.eat("(") {
            let arguments = Arguments::parse(cursor)?;
            let transform = Transform::new(&name, &arguments).map_err(|reason| before.error(reason))?;
            self.transforms.push(transform);
        } else if self.transforms.is_empty() {
            self.steps.push(Step::Field(name));
        } else {
            return Err(before.error("a field can't follow a transform"));
        }
        Ok(())
    }

    fn subscript(&mut self, cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
        let before = cursor.clone();
        let step = match cursor.quoted()? {
            Some(name) => Step::Field(name),
            None => match cursor.take_while(|c| c.is_ascii_digit() || c == '-') {
                "" => Step::Each,
                number => number
                    .parse()
                    .map(Step::Item)
                    .map_err(|_| before.error("expected a number, a quoted name or nothing"))?,
            },
        };
        cursor.expect("]")?;
        if !self.transforms.is_empty() {
            return Err(before.error("a subscript can't follow a transform"));
        }
        self.steps.push(step);
        Ok(())
    }

    /// Null where there is nothing.
    pub(in crate::output) fn get(&self, resource: &Value) -> Value {
        self.transformed(walk(resource, &self.steps), resource)
    }

    fn transformed(&self, value: Value, resource: &Value) -> Value {
        self.transforms
            .iter()
            .fold(value, |value, transform| transform.apply(value, resource))
    }

    /// Only what the key names of the resource, where it is.
    pub(in crate::output) fn project(&self, resource: &Value) -> Value {
        rebuilt(resource, &self.steps, &|value| {
            self.transformed(value.clone(), resource)
        })
    }

    /// The names of the fields on the way, without subscripts.
    pub(in crate::output) fn fields(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Field(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// What heads its column: the last name as `UPPER_SNAKE_CASE`.
    pub(in crate::output) fn label(&self) -> String {
        self.fields().last().map(snake).unwrap_or_default()
    }
}

fn walk(value: &Value, steps: &[Step]) -> Value {
    let Some((step, rest)) = steps.split_first() else {
        return value.clone();
    };
    match (step, value) {
        (Step::Field(name), Value::Object(_)) => walk(&value[name.as_str()], rest),
        (Step::Each, Value::Array(items)) => {
            let found = items.iter().map(|item| walk(item, rest));
            found.filter(|found| !found.is_null()).collect()
        }
        (Step::Item(at), Value::Array(items)) => {
            let at = if *at < 0 { *at + items.len() as i64 } else { *at };
            let item = usize::try_from(at).ok().and_then(|at| items.get(at));
            item.map_or(Value::Null, |item| walk(item, rest))
        }
        _ => Value::Null,
    }
}

/// The structure along the steps, with what `leaf` makes of the value at their end. Null where there is nothing.
fn rebuilt(value: &Value, steps: &[Step], leaf: &dyn Fn(&Value) -> Value) -> Value {
    let Some((step, rest)) = steps.split_first() else {
        return leaf(value);
    };
    match (step, value) {
        (Step::Field(name), Value::Object(_)) => match rebuilt(&value[name.as_str()], rest, leaf) {
            Value::Null => Value::Null,
            inner => json!({ name.as_str(): inner }),
        },
        (Step::Each, Value::Array(items)) => {
            let item = |item| match rebuilt(item, rest, leaf) {
                Value::Null if item.is_object() => json!({}),
                inner => inner,
            };
            items.iter().map(item).collect()
        }
        (Step::Item(_), Value::Array(_)) => match walk(value, std::slice::from_ref(step)) {
            Value::Null => Value::Null,
            item => json!([rebuilt(&item, rest, leaf)]),
        },
        _ => Value::Null,
    }
}

fn snake(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, c) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| characters[at]);
        let after = characters.get(at + 1);
        let begins_word = c.is_uppercase()
            && before.is_some_and(|b| b.is_lowercase() || after.is_some_and(|a| a.is_lowercase()))
            && before != Some('_');
        if begins_word {
            snake.push('_');
        }
        snake.extend(c.to_uppercase());
    }
    snake
}
