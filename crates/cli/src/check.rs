//! `inkwire check`: what a node would find, before there is one.
//!
//! Invariant: nothing that is printed holds a password.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::CommandFactory as _;
use clap::error::ErrorKind;
use inkwire_core::{Finding, Level};
use inkwire_redis::RedisOptions;
use serde_json::{Map, Value, json};

use crate::arguments::{Arguments, CheckArguments};
use crate::store;

/// The longest name of a level, and a space.
const LEVEL: usize = 8;

/// Where to look.
enum Place {
    Redis(Box<RedisOptions>),
    Directory(PathBuf),
}

/// Prints what was found; an error where something is trouble.
pub(crate) fn run(mut arguments: CheckArguments) -> Result<()> {
    let place = place(&mut arguments).unwrap_or_else(|error| is_usage(&error));
    let name = name(&place);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let findings = runtime.block_on(look(place))?;
    let text = if arguments.json { for_programs(&name, &findings) } else { for_people(&name, &findings) };
    std::io::stdout().write_all(text.as_bytes())?;
    match worst(&findings) {
        Level::Trouble => bail!("{}", summary(&findings)),
        Level::Ok | Level::Warning => Ok(()),
    }
}

fn place(arguments: &mut CheckArguments) -> Result<Place> {
    Ok(match store::redis(&mut arguments.redis)? {
        Some(options) => Place::Redis(Box::new(options)),
        None => Place::Directory(arguments.data_dir.clone()),
    })
}

/// Ends the program as it ends where arguments are wrong.
fn is_usage(error: &anyhow::Error) -> ! {
    Arguments::command().error(ErrorKind::ValueValidation, format!("{error:#}")).exit()
}

fn name(place: &Place) -> String {
    match place {
        Place::Redis(options) => format!("Redis at {}", options.address),
        Place::Directory(directory) => format!("the data directory {}", directory.display()),
    }
}

async fn look(place: Place) -> Result<Vec<Finding>> {
    Ok(match place {
        Place::Redis(options) => {
            inkwire_redis::inspect(*options).await.unwrap_or_else(|error| is_usage(&error.into()))
        }
        Place::Directory(directory) => inkwire_embedded::inspect(&directory).await,
    })
}

fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

fn summary(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (ok, warnings, trouble) = (count(Level::Ok), count(Level::Warning), count(Level::Trouble));
    format!("{trouble} trouble, {warnings} warning, {ok} ok")
}

/// One line for each finding, and one for what to do; servers apart where there are several.
fn for_people(name: &str, findings: &[Finding]) -> String {
    let mut text = format!("{name}\n");
    let mut server = None;
    let several =
        findings.iter().any(|finding| finding.server != findings.first().and_then(|one| one.server.clone()));
    for finding in findings {
        if several && server != Some(&finding.server) {
            let heading = finding.server.as_deref().unwrap_or("all together");
            // Writing to a text cannot fail.
            let _ = writeln!(text, "\n{heading}");
            server = Some(&finding.server);
        }
        let _ = writeln!(text, "  {:LEVEL$} {}: {}", finding.level, finding.subject, finding.says);
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "  {:LEVEL$} -> {advice}", "");
        }
    }
    if worst(findings) != Level::Trouble {
        let _ = writeln!(text, "\n{}", summary(findings));
    }
    text
}

fn for_programs(name: &str, findings: &[Finding]) -> String {
    let all: Vec<_> = findings.iter().map(object).collect();
    let said = json!({ "store": name, "level": worst(findings).as_str(), "findings": all });
    format!("{said}\n")
}

fn object(finding: &Finding) -> Value {
    let mut object = Map::new();
    object.insert("level".into(), finding.level.as_str().into());
    object.insert("subject".into(), finding.subject.into());
    object.insert("says".into(), finding.says.as_str().into());
    if let Some(server) = &finding.server {
        object.insert("server".into(), server.as_str().into());
    }
    if let Some(advice) = &finding.advice {
        object.insert("advice".into(), advice.as_str().into());
    }
    if !finding.figures.is_empty() {
        let figures = finding.figures.iter().map(|(name, number)| ((*name).to_owned(), Value::from(*number)));
        object.insert("figures".into(), figures.collect::<Map<_, _>>().into());
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_and_programs_are_told() {
        let findings = [
            Finding::ok("product", "Redis 7.0.15").at("a:1"),
            Finding::warning("memory", "no maxmemory", "set it").at("b:2").with([("used_bytes", 5.0)]),
        ];
        let text = for_people("Redis at a:1, b:2", &findings);
        let expected = "Redis at a:1, b:2\n\na:1\n  ok       product: Redis 7.0.15\n\nb:2\n  warning  memory: no maxmemory\n           \
                        -> set it\n\n0 trouble, 1 warning, 1 ok\n";
        assert_eq!(text, expected);
        let said: Value = serde_json::from_str(&for_programs("x", &findings)).unwrap();
        assert_eq!(
            (&said["level"], &said["findings"][1]["figures"]["used_bytes"]),
            (&json!("warning"), &json!(5.0))
        );
        assert_eq!(
            said["findings"][0],
            json!({"level": "ok", "subject": "product", "says": "Redis 7.0.15", "server": "a:1"})
        );
    }
}
