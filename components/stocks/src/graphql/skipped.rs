//! Keeps objects whose fields are all skipped. GraphQL answers `{}` for such an object, but the library turns an object
//! without fields into null. So each object gets a field that no client can name, and the field is removed from the
//! answer.

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, Selection, SelectionSet,
};
use async_graphql::{Name, Positioned, Value};

/// The field's name in the answer: no client can write an empty name.
const KEPT: &str = "";

/// Adds the field to every selection set with a field that may be skipped. Returns whether there was such a set.
pub(super) fn keep_objects(document: &mut ExecutableDocument) -> bool {
    let mut added = false;
    for fragment in document.fragments.values_mut() {
        added |= keep_object(&mut fragment.node.selection_set.node);
    }
    match &mut document.operations {
        DocumentOperations::Single(operation) => {
            added |= keep_object(&mut operation.node.selection_set.node);
        }
        DocumentOperations::Multiple(operations) => {
            for operation in operations.values_mut() {
                added |= keep_object(&mut operation.node.selection_set.node);
            }
        }
    }
    added
}

fn keep_object(set: &mut SelectionSet) -> bool {
    let mut added = false;
    for selection in &mut set.items {
        added |= match &mut selection.node {
            Selection::Field(field) => keep_object(&mut field.node.selection_set.node),
            Selection::InlineFragment(fragment) => {
                keep_object(&mut fragment.node.selection_set.node)
            }
            Selection::FragmentSpread(_) => false,
        };
    }
    let conditional = set.items.iter().find(|selection| {
        let mut directives = selection.node.directives().iter();
        directives.any(|directive| matches!(&*directive.node.name.node, "skip" | "include"))
    });
    let Some(at) = conditional.map(|selection| selection.pos) else {
        return added;
    };
    let field = Field {
        alias: Some(Positioned::new(Name::new(KEPT), at)),
        name: Positioned::new(Name::new("__typename"), at),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(SelectionSet::default(), at),
    };
    let field = Selection::Field(Positioned::new(field, at));
    set.items.push(Positioned::new(field, at));
    true
}

/// Removes the field from an answer.
pub(super) fn forget(answer: &mut Value) {
    match answer {
        Value::Object(fields) => {
            fields.shift_remove(KEPT);
            fields.values_mut().for_each(forget);
        }
        Value::List(values) => values.iter_mut().for_each(forget),
        _ => {}
    }
}
