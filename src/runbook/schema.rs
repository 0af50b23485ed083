//! The JSON schema, for editors: `docs/runbook.schema.json`.

use serde_json::{Value, json};

use super::model::{Runbook, VERSION};

const ID: &str = "https://github.com/baoctl/baoctl/raw/main/docs/runbook.schema.json";

/// The schema of a runbook file. It knows the shape alone; [`Runbook::parse`] knows the order as well.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Runbook);
    schema.insert("$id".to_owned(), ID.into());
    let title = format!("baoctl runbook, version {VERSION}");
    schema.insert("title".to_owned(), title.into());
    let mut schema = schema.to_value();
    if let Some(Value::Array(forms)) = schema.pointer_mut("/$defs/ActionSpec/oneOf") {
        let plain: Vec<Value> = forms.iter().filter_map(plain).collect();
        forms.push(json!({
            "description": "An action that needs nothing, as a plain word.",
            "type": "string",
            "enum": plain,
        }));
    }
    schema
}

/// The kind of an action's schema, when the action needs nothing.
fn plain(form: &Value) -> Option<Value> {
    let (kind, parameters) = form.get("properties")?.as_object()?.iter().next()?;
    parameters
        .get("required")
        .is_none()
        .then(|| kind.clone().into())
}
