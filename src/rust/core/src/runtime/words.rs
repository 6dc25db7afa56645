//! Names of choices. Each choice is a closed list: its names are parsed by `FromStr`, listed by `NAMES`, and any other name is an error, never a default.

use crate::runtime::error::Error;

/// Names of the values of an enum, and what the choice between them is called.
#[macro_export]
macro_rules! words {
    ($choice:ty, $what:literal, $($name:literal => $value:expr),+) => {
        impl $choice {
            /// Names of the values, as they are parsed and as R offers them.
            pub const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl std::str::FromStr for $choice {
            type Err = $crate::runtime::error::Error;

            fn from_str(name: &str) -> $crate::runtime::error::Result<Self> {
                match name {
                    $($name => Ok($value),)+
                    other => Err($crate::runtime::error::Error::unknown_word($what, other, Self::NAMES)),
                }
            }
        }
    };
}

impl Error {
    /// The error that names a choice, what was found, and what is allowed.
    pub fn unknown_word(what: &'static str, found: &str, known: &[&str]) -> Self {
        let known: Vec<String> = known.iter().map(|name| format!("\"{name}\"")).collect();
        let why = format!("is \"{found}\", but must be one of {}", known.join(", "));
        Error::Argument { what, why }
    }
}

#[cfg(test)]
mod tests {
    use crate::kernel::stationary::Family;
    use crate::likelihood::Method;

    #[test]
    fn every_name_is_parsed_and_no_other() {
        assert!(Method::NAMES.iter().all(|name| name.parse::<Method>().is_ok()));
        assert!(Family::NAMES.iter().all(|name| name.parse::<Family>().is_ok()));
        assert_eq!("ML".parse(), Ok(Method::Ml));
        let error = "ml".parse::<Method>().unwrap_err();
        assert_eq!(error.class(), "argument");
        assert_eq!(
            error.to_string(),
            "method is \"ml\", but must be one of \"REML\", \"ML\""
        );
    }
}
