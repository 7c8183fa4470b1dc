// Sums of columns by a workgroup of 256 threads: of eight columns side by side, 32 threads each, which share the rows. The order is fixed.
const COLUMNS: u32 = 8u;
const LANES: u32 = 32u;
var<workgroup> column_parts: array<f32, COLUMNS * LANES>;

// The column's sum, where `value` is the thread's part of it; for the threads below COLUMNS.
fn sum_of_lanes(value: f32, thread: u32) -> f32 {
    column_parts[thread] = value;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half >>= 1u) {
        if thread < half * COLUMNS {
            column_parts[thread] += column_parts[thread + half * COLUMNS];
        }
        workgroupBarrier();
    }
    return column_parts[thread];
}
