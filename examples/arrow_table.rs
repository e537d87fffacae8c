//! A table of Arrow in shared memory: put once, read by every task where it lies.
//!
//! `cargo run --features arrow --example arrow_table`

use std::sync::Arc;

use arrow_array::{Float64Array, RecordBatch, StringArray, cast::AsArray, types::Float64Type};
use arrow_schema::{DataType, Field, Schema};
use rustyray::{Batch, prelude::*};

/// The mean of one city's temperatures. The arrays that it reads are the ones that were put: nothing is copied.
#[rustyray::remote]
fn mean(table: View<Batch>, city: String) -> Result<f64, arrow_schema::ArrowError> {
    let table = table.record_batch()?;
    let (cities, celsius) = (table.column(0).as_string::<i32>(), table.column(1));
    let celsius = celsius.as_primitive::<Float64Type>();
    let rows = (0..table.num_rows()).filter(|&row| cities.value(row) == city);
    let (sum, count) =
        rows.fold((0.0, 0), |(sum, count), row| (sum + celsius.value(row), count + 1));
    Ok(sum / f64::from(count))
}

#[rustyray::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names = ["Oslo", "Cairo", "Lima"];
    let rows = 300_000;
    let cities = StringArray::from_iter_values((0..rows).map(|row| names[row % 3]));
    let celsius = Float64Array::from_iter_values(
        (0..rows).map(|row| [5.0, 22.0, 19.0][row % 3] + (row % 7) as f64),
    );
    let schema = Schema::new(vec![
        Field::new("city", DataType::Utf8, false),
        Field::new("celsius", DataType::Float64, false),
    ]);
    let table = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(cities), Arc::new(celsius)])?;

    let table = rustyray::put(&Batch::try_from(&table)?).await?;
    let mut means = Vec::new();
    for name in names {
        means.push(mean_remote::remote(&table, name.to_owned()).await?);
    }
    for (name, mean) in names.iter().zip(rustyray::get_all(&means).await?) {
        println!("{name:6} {mean:.1} °C");
    }
    Ok(())
}
