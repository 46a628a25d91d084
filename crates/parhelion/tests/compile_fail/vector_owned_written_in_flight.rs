use parhelion::prelude::*;

fn write(x: DistVector<f64>) -> Result<DistVector<f64>> {
    let inflight = x.start_exchange_adjoint(Op::Sum)?;
    inflight.owned()[0] = 1.0;
    inflight.finish()
}

fn main() {
    let _ = write;
}
