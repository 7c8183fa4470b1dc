//! Matrix products alone.

use super::least;
use crate::device::{Device, PlanBuilder, Session};
use crate::error::Result;
use crate::kernels::Format;
use crate::kernels::cases::{CaseBuilder, Product};
use crate::kernels::matmul::{MatMul, Matrix, finish_in_half};
use web_time::{Duration, Instant};

/// Products of one submit on a GPU.
const TOGETHER: usize = 10;

/// One product.
#[derive(Clone, Copy, Debug)]
pub struct ProductCase {
    /// Which of the three that a linear layer needs.
    pub product: Product,
    /// Rows of x or g.
    pub tokens: usize,
    /// Inputs of the layer.
    pub inputs: usize,
    /// Outputs of the layer.
    pub outputs: usize,
    /// How the frozen weight is held; a weight gradient has none.
    pub format: Format,
    /// Whether its factors are rounded to 16 bits; where the device has matrix units they are packed for each product, which is counted.
    pub half: bool,
}

/// How a product ran.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Of the fastest run.
    pub seconds: f64,
    /// The kernel that the device ran it by.
    pub kernel: &'static str,
}

impl ProductCase {
    /// Floating-point operations.
    pub fn flops(&self) -> f64 {
        2.0 * self.tokens as f64 * self.inputs as f64 * self.outputs as f64
    }

    /// The fastest of at least five runs in about `time`, after one that is not counted.
    ///
    /// # Errors
    /// Where the device cannot hold it or was lost.
    pub fn measure(&self, device: &Device, time: Duration) -> Result<Measured> {
        let mut b = CaseBuilder::new(1);
        let (tokens, inputs, outputs) = (self.tokens, self.inputs, self.outputs);
        let op = match self.product {
            Product::WeightGradient => {
                let (g, x, dw) = (b.floats(tokens * outputs, 1.0), b.floats(tokens * inputs, 1.0), b.floats(outputs * inputs, 1.0));
                let (left, right) = self.product.matrices(g, x, outputs, inputs, tokens);
                MatMul::new(outputs, inputs, tokens, left, right, Matrix::rows(dw, inputs))
            }
            product => {
                let (n, k) = if product == Product::Forward { (outputs, inputs) } else { (inputs, outputs) };
                let (a, w, y) = (b.floats(tokens * k, 1.0), b.weight(inputs * outputs, self.format), b.floats(tokens * n, 1.0));
                let (left, right) = product.matrices(a, w, tokens, n, k);
                MatMul { format: self.format, ..MatMul::new(tokens, n, k, left, right, Matrix::rows(y, n)) }
            }
        };
        let mut plan = PlanBuilder::new("product");
        plan.push(op.op());
        let mut case = b.finish("product", 0.0, op.op());
        case.plan = if self.half { finish_in_half(plan, device.limits()) } else { plan.finish() };
        // A submit and the wait for it take as long as a product on a fast device.
        let together = match device {
            Device::Gpu(gpu) if !gpu.report().is_software() => TOGETHER,
            _ => 1,
        };
        case.plan.ops = vec![case.plan.ops; together].concat();
        let mut session = pollster::block_on(device.load(&case.layout, std::slice::from_ref(&case.plan)))?;
        for (view, words) in case.inputs.iter() {
            session.write(*view, words)?;
        }
        Ok(Measured {
            seconds: timed(&mut session, time)? / together as f64,
            kernel: session.kernels(0).last().copied().unwrap_or_default(),
        })
    }
}

fn timed(session: &mut Session, time: Duration) -> Result<f64> {
    let mut run = || -> Result<f64> {
        let begun = Instant::now();
        session.run(0, u32::MAX)?;
        pollster::block_on(session.wait())?;
        Ok(begun.elapsed().as_secs_f64())
    };
    run()?;
    let begun = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 5 || begun.elapsed() < time {
        seconds.push(run()?);
    }
    Ok(least(&seconds))
}

/// Floating-point operations a second of a large square product: what the device's peak is measured by.
///
/// # Errors
/// As [`ProductCase::measure`].
pub fn peak(device: &Device) -> Result<f64> {
    // A software driver takes seconds for what others do in a millisecond.
    let side = match device {
        Device::Gpu(gpu) if gpu.report().is_software() => 256,
        Device::Gpu(_) => 2048,
        Device::Cpu => 1024,
    };
    let case = ProductCase { product: Product::Forward, tokens: side, inputs: side, outputs: side, format: Format::F32, half: false };
    Ok(case.flops() / case.measure(device, Duration::from_millis(200))?.seconds)
}
