//! Which image a fleet runs.

use crate::observed::Settings;
use sluice_crds::collector::Image;

/// The whole reference: what the Collector says, else the operator's own image.
pub(super) fn reference(image: &Image, settings: &Settings) -> String {
    let (own, own_version) = split(&settings.image);
    let repository = image.repository.as_deref().unwrap_or(own);
    if let Some(digest) = &image.digest {
        return format!("{repository}@{digest}");
    }
    match (&image.tag, &image.repository) {
        (Some(tag), _) => format!("{repository}:{tag}"),
        (None, Some(_)) => format!("{repository}:{}", settings.version),
        (None, None) => format!("{repository}{own_version}"),
    }
}

/// The version that the agents of this image report, as far as the reference tells.
pub(crate) fn version(image: &Image, settings: &Settings) -> String {
    match (&image.digest, &image.tag) {
        (Some(digest), _) => digest.clone(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => settings.version.clone(),
    }
}

/// Repository, and the rest with its separator.
fn split(reference: &str) -> (&str, &str) {
    let path = reference.rfind('/').map_or(0, |slash| slash + 1);
    let end = reference
        .find('@')
        .or_else(|| reference.get(path..)?.find(':').map(|colon| path + colon))
        .unwrap_or(reference.len());
    reference.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(own: &str, image: Image, expected: &str) {
        let settings = Settings::new("sluice-system", "0.1.0", own);
        assert_eq!(reference(&image, &settings), expected);
    }

    #[test]
    fn an_image_is_the_operators_own_unless_the_collector_says_otherwise() {
        let digest = Some("sha256:ab".to_owned());
        let tag = Some("2".to_owned());
        let repository = Some("other/sluice".to_owned());
        check("host:5000/a/sluice:1", Image::default(), "host:5000/a/sluice:1");
        check("host:5000/a/sluice", Image::default(), "host:5000/a/sluice");
        check("a/sluice@sha256:cd", Image::default(), "a/sluice@sha256:cd");
        check("a/sluice:1", Image { tag, ..Image::default() }, "a/sluice:2");
        check("a/sluice:1", Image { digest, ..Image::default() }, "a/sluice@sha256:ab");
        check("a/sluice:1", Image { repository, ..Image::default() }, "other/sluice:0.1.0");
    }
}
