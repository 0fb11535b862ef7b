//! When a text was posted, as people and programs write it.

use jiff::{Timestamp, civil::DateTime, tz::Offset};

/// RFC 3339; seconds since 1970; or a date, with or without a time, that names no offset and is taken as UTC, as databases write it.
pub fn timestamp(written: &str) -> Option<Timestamp> {
    let written = written.trim();
    let local = || Offset::UTC.to_timestamp(written.parse::<DateTime>().ok()?).ok();
    written.parse().ok().or_else(|| timestamp_of_seconds(written.parse().ok()?)).or_else(local)
}

/// Seconds since 1970; `None` for milliseconds, which are past the year 9999.
pub fn timestamp_of_seconds(seconds: f64) -> Option<Timestamp> {
    seconds.is_finite().then(|| Timestamp::from_microsecond((seconds * 1e6).round() as i64).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let noon = "2026-01-31T12:00:00Z".parse().ok();
        for written in
            ["2026-01-31T12:00:00Z", "2026-01-31T14:00:00+02:00", "2026-01-31 12:00:00", " 2026-01-31T12:00 ", "1769860800", "1769860800.0"]
        {
            assert_eq!(timestamp(written), noon, "{written}");
        }
        assert_eq!(timestamp("2026-01-31"), "2026-01-31T00:00:00Z".parse().ok());
        assert_eq!(timestamp_of_seconds(0.5), "1970-01-01T00:00:00.5Z".parse().ok());
        for written in ["", "yesterday", "31.01.2026", "1769860800000", "1e300", "nan", "inf", "2026-02-30", "2026-01-31 25:00:00"] {
            assert_eq!(timestamp(written), None, "{written}");
        }
    }
}
