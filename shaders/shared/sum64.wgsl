// The sum of one value from each of 64 threads, in a fixed order, given to all of them.
var<workgroup> sum64_parts: array<f32, 64>;

fn sum_of_64(value: f32, thread: u32) -> f32 {
    workgroupBarrier();
    sum64_parts[thread] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
        if thread < half {
            sum64_parts[thread] += sum64_parts[thread + half];
        }
        workgroupBarrier();
    }
    return sum64_parts[0];
}
