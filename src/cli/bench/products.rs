//! `diablo bench products`

use super::{Args, Report, Row};
use crate::bench::products::{Measured, ProductCase, peak};
use crate::bench::shapes;
use crate::device::Device;
use crate::error::Result;
use crate::kernels::Format;
use crate::kernels::cases::Product;
use serde_json::{Map, json};

pub fn run(args: &Args, device: &Device) -> Result<Report> {
    let shape = args.shape_or("smollm2-135m");
    let config = shapes::named(shape)?;
    let format: Format = args.weights.map_or(Format::F32, Into::into);
    let tokens = args.batch_size * args.seq_len;
    // Layers of the same size are one.
    let mut layers: Vec<(String, usize, usize)> = Vec::new();
    for (module, outputs, inputs) in config.linear_shapes() {
        match layers.iter_mut().find(|l| (l.1, l.2) == (outputs, inputs)) {
            Some(same) => same.0 = format!("{}, {module}", same.0),
            None => layers.push((module.to_owned(), outputs, inputs)),
        }
    }
    let mut peak = peak(device)?;
    let time = args.time().mul_f64(0.1);
    let mut measured = Vec::new();
    for (layer, outputs, inputs) in layers {
        for (product, name) in [(Product::Forward, "x W^T"), (Product::InputGradient, "g W"), (Product::WeightGradient, "g^T x")] {
            let format = if product == Product::WeightGradient { Format::F32 } else { format };
            let case = ProductCase { product, tokens, inputs, outputs, format, half: args.is_half() };
            let ran = case.measure(device, time)?;
            peak = peak.max(case.flops() / ran.seconds);
            measured.push((layer.clone(), name, case, ran));
        }
    }
    let rows = measured.into_iter().map(|(layer, name, case, Measured { seconds, kernel })| {
        let (rate, sizes) = (case.flops() / seconds, format!("{tokens} x {} x {}", case.inputs, case.outputs));
        let format = format!("{:?}", case.format).to_lowercase();
        Row {
            name: format!("{name} {sizes}, {format}"),
            rate,
            cells: vec![
                layer,
                name.to_owned(),
                sizes,
                format,
                kernel.to_owned(),
                format!("{:.2}", seconds * 1e3),
                format!("{:.1}", rate / 1e9),
                format!("{:.0}%", 100.0 * rate / peak),
            ],
            json: Map::from_iter([
                ("kernel".to_owned(), json!(kernel)),
                ("seconds".to_owned(), json!(seconds)),
                ("flops_per_second".to_owned(), json!(rate)),
            ]),
        }
    });
    Ok(Report {
        key: "products",
        headings: vec!["layers", "product", "tokens x in x out", "weights", "kernel", "ms", "GFLOP/s", "of peak"],
        rows: rows.collect(),
        notes: vec![format!("{shape}. peak: {:.1} GFLOP/s, the fastest of these and of a square product", peak / 1e9)],
        more: Map::from_iter([("peak_flops_per_second".to_owned(), json!(peak))]),
    })
}
