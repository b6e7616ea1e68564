//! What a node has to pull and to store.

use super::pairs::round;
use super::results::{Figure, Goal};
use crate::contest::programs::Programs;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

pub(super) fn measure(
    programs: &Programs,
    image: Option<&Path>,
    blank: &Figure,
) -> Result<Vec<Figure>> {
    let megabytes = |path: &Path| {
        let file = fs::metadata(path).with_context(|| format!("look at {}", path.display()))?;
        anyhow::Ok(round(file.len() as f64 / 1e6))
    };
    let (own, peer) = (megabytes(&programs.agent)?, megabytes(&programs.otelcol)?);
    let mut figures = vec![Figure {
        name: "program of the agent".to_owned(),
        figure: own,
        unit: "MB".to_owned(),
        peer: Some(peer),
        ratio: Some(round(own / peer)),
        method: "size of the file, without debug information".to_owned(),
        ..blank.clone()
    }];
    if let Some(image) = image {
        let figure = Figure {
            name: "image (agent, operator and command line)".to_owned(),
            figure: megabytes(image)?,
            unit: "MB".to_owned(),
            method: "size of the image's archive".to_owned(),
            ..blank.clone()
        };
        figures.push(figure.with_goal(Some(Goal::FigureMax(60.0))));
    }
    Ok(figures)
}
