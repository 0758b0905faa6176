//! `${NAME}` and `${NAME:-default}` in values; `$${` is a literal `${`. The environment is a function, so that nothing
//! here reads it. Tests are below.

use super::error::ConfigError;
use super::node::{Node, Value, joined};

/// Looks up one variable of the environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces variables in every value of the tree and reports each that is not set.
pub(super) fn expand(node: &mut Node, lookup: Lookup<'_>) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    visit(node, "", lookup, &mut errors);
    errors
}

fn visit(node: &mut Node, path: &str, lookup: Lookup<'_>, errors: &mut Vec<ConfigError>) {
    match &mut node.value {
        Value::Scalar { text, plain } => {
            if !text.contains("${") {
                return;
            }
            match replaced(text, lookup) {
                Ok(new) => {
                    // A variable has no quotes of its own: `port: "${PORT}"` means a number.
                    *plain = true;
                    *text = new;
                }
                Err((reason, fix)) => {
                    errors.push(ConfigError { mark: Some(node.mark), ..ConfigError::at(path, reason).fix(fix) });
                    node.skipped = true;
                }
            }
        }
        Value::List(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                visit(item, &format!("{path}[{position}]"), lookup, errors);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                visit(&mut entry.node, &joined(path, &entry.key), lookup, errors);
            }
        }
    }
}

fn replaced(text: &str, lookup: Lookup<'_>) -> Result<String, (String, String)> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((variable, tail)) = after.split_once('}') else {
            return Err((
                "`${` is not closed".to_owned(),
                "close it with `}`, or write `$${` for the characters themselves".to_owned(),
            ));
        };
        out.push_str(&value_of(variable, lookup)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(variable: &str, lookup: Lookup<'_>) -> Result<String, (String, String)> {
    let (name, default) = match variable.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (variable, None),
    };
    if !is_name(name) {
        return Err((format!("`{name}` is not the name of a variable"), "use letters, digits and `_`".to_owned()));
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err((
            format!("the environment variable `{name}` is not set"),
            format!("set it, or write `${{{name}:-default}}`"),
        )),
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("sk-1".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${KEY}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_once_with_shell_like_defaults() {
        for (text, expected) in [
            ("${KEY}", "sk-1"),
            ("a-${KEY}-${UNSET:-b}", "a-sk-1-b"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${UNSET:-}", ""),
            ("${UNSET:-http://[::1]:8/}", "http://[::1]:8/"),
            ("$${KEY}", "${KEY}"),
            ("$KEY costs 5$", "$KEY costs 5$"),
            ("${NESTED}", "${KEY}"),
        ] {
            assert_eq!(replaced(text, &env).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_is_named_with_the_way_out() {
        let (reason, fix) = replaced("${UNSET}", &env).unwrap_err();
        assert!(reason.contains("`UNSET`") && fix.contains("${UNSET:-default}"));
        assert!(replaced("${KEY", &env).is_err());
        assert!(replaced("${1KEY}", &env).is_err());
        assert!(replaced("${}", &env).is_err());
    }
}
