//! Sets of values that SQL knows by their names.

use crate::args::one_of;
use crate::error::Result;
use crate::sql::{self, Row};

/// A value that SQL passes, stores and returns by its name.
pub trait Named: Copy + 'static {
    /// The name of the argument that passes the value, and of the column that stores it.
    const COLUMN: &'static str;
    const ALL: &'static [Self];

    fn name(self) -> &'static str;

    /// The value of an argument.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a name that no value has.
    fn parse(name: &str) -> Result<Self> {
        let names: Vec<&str> = Self::ALL.iter().map(|value| value.name()).collect();
        let index = one_of(Self::COLUMN, name, &names)?;
        Ok(Self::ALL[index])
    }

    /// The value of a column.
    ///
    /// # Errors
    /// Fails only if SQL does.
    fn read(row: &Row) -> Result<Self> {
        Self::parse(&sql::get::<String>(row, Self::COLUMN)?)
    }
}
