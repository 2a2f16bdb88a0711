//! One call of STS, in its own region or in the first of the fallback regions that answers. Which calls, and what
//! endpoints, is nothing it knows.

use log::warn;

use super::StsError;

/// Makes `call` in `region` and, for as long as STS is out of reach or out of order, in each of `fallbacks`, in that
/// order and each once. Returns what it gave, and where.
///
/// # Errors
///
/// The first decision of STS against the call. Where no region answers, the error of `region`.
pub fn somewhere<'r, T>(
    region: &'r str,
    fallbacks: &'r [String],
    mut call: impl FnMut(&str) -> Result<T, StsError>,
) -> Result<(T, &'r str), StsError> {
    let outage = match call(region) {
        Err(error) if error.is_outage() => error,
        outcome => return outcome.map(|given| (given, region)),
    };
    for fallback in fallbacks.iter().filter(|fallback| *fallback != region) {
        warn!("{outage}; region `{fallback}` is asked");
        match call(fallback) {
            Err(error) if error.is_outage() => {}
            outcome => return outcome.map(|given| (given, fallback.as_str())),
        }
    }
    Err(outage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sts::ServiceError;

    fn service(status: u16, code: Option<&str>) -> StsError {
        let error = ServiceError {
            status,
            code: code.map(str::to_owned),
            message: None,
            request_id: None,
            retry_after: None,
        };
        StsError::Service { action: "AssumeRole", endpoint: "https://e".to_owned(), error: Box::new(error) }
    }

    fn silent(region: &str) -> StsError {
        StsError::StillSilent { endpoint: format!("https://sts.{region}.amazonaws.com") }
    }

    /// The regions asked, in order, and the outcome.
    fn ask(
        fallbacks: &[&str],
        answer: impl Fn(&str) -> Result<u8, StsError>,
    ) -> (Vec<String>, Result<(u8, String), String>) {
        let fallbacks: Vec<String> = fallbacks.iter().map(|&name| name.to_owned()).collect();
        let mut asked = Vec::new();
        let outcome = somewhere("us-east-1", &fallbacks, |region| {
            asked.push(region.to_owned());
            answer(region)
        });
        let outcome =
            outcome.map(|(given, region)| (given, region.to_owned())).map_err(|error| error.to_string());
        (asked, outcome)
    }

    #[test]
    fn the_first_region_that_answers_is_the_last_that_is_asked() {
        let (asked, outcome) = ask(&["us-west-2", "us-east-2"], |_| Ok(7));
        assert_eq!((asked.len(), outcome), (1, Ok((7, "us-east-1".to_owned()))));
        let two_are_down = |region: &str| if region == "us-east-2" { Ok(7) } else { Err(silent(region)) };
        let (asked, outcome) = ask(&["us-west-2", "us-east-2", "us-west-1"], two_are_down);
        assert_eq!(asked, ["us-east-1", "us-west-2", "us-east-2"]);
        assert_eq!(outcome, Ok((7, "us-east-2".to_owned())));
    }

    #[test]
    fn where_none_answers_the_own_region_is_spoken_of() {
        let (asked, outcome) = ask(&["us-west-2", "us-east-1", "us-east-2"], |region| Err(silent(region)));
        assert_eq!(asked, ["us-east-1", "us-west-2", "us-east-2"], "each once");
        assert!(outcome.unwrap_err().contains("sts.us-east-1."));
        assert_eq!(ask(&[], |region| Err(silent(region))).0.len(), 1);
    }

    #[test]
    fn only_an_outage_leads_to_another_region() {
        for (status, code, leads_on) in [
            (500, Some("InternalFailure"), true),
            (503, None, true),
            (503, Some("ServiceUnavailable"), true),
            (599, None, true),
            (503, Some("SlowDown"), false),
            (400, Some("Throttling"), false),
            (429, None, false),
            (403, Some("AccessDenied"), false),
            (403, Some("ExpiredToken"), false),
            (400, Some("ValidationError"), false),
            (403, Some("RegionDisabledException"), false),
            (400, Some("IDPCommunicationError"), false),
        ] {
            let (asked, outcome) = ask(&["us-west-2"], |_| Err(service(status, code)));
            assert_eq!(asked.len() == 2, leads_on, "{status} {code:?}");
            assert!(outcome.is_err());
        }
    }

    #[test]
    fn what_a_fallback_decides_is_decided() {
        let (asked, outcome) = ask(&["us-west-2", "us-east-2"], |region| match region {
            "us-west-2" => Err(service(403, Some("AccessDenied"))),
            _ => Err(silent(region)),
        });
        assert_eq!(asked, ["us-east-1", "us-west-2"]);
        assert!(outcome.unwrap_err().contains("AccessDenied"));
    }
}
