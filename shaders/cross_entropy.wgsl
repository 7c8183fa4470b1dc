// losses[row] = log(sum_v exp(logits[row, v])) - logits[row, target]; with `gradient`, logits become
// (softmax(logits) - onehot(target)) * scale in place. A row without a target has no loss and no gradient.
struct Params {
    vocabulary: u32,
    first_row: u32,
    gradient: u32,
    rows: u32,       // the grid's x; the CPU twin reads it here
    loss_scale: f32, // 0: the gradient is that of the mean over the step's targets; otherwise of the sum, times this
}
@group(0) @binding(0) var<storage, read> targets: array<u32>; // 0xffffffff: none
@group(0) @binding(1) var<storage, read> inputs: array<f32>;  // the step's inputs; [1] is 1 / (targets of the step)
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const THREADS: u32 = 256u;
var<workgroup> parts: array<vec2f, THREADS>; // largest logit, sum of exp(logit - largest)

const FOUR = vec4u(0u, 1u, 2u, 3u) * THREADS;
const NOTHING: f32 = -3.0e38;

// Four logits that neighbours of this thread read next to it; nothing past the last one.
fn four(start: u32, i: u32) -> vec4f {
    let there = vec4u(i) + FOUR < vec4u(params.vocabulary);
    let at = min(vec4u(i) + FOUR, vec4u(params.vocabulary - 1u)) + start;
    return select(vec4f(NOTHING), vec4f(logits[at.x], logits[at.y], logits[at.z], logits[at.w]), there);
}

fn exponentials(x: vec4f) -> vec4f {
    return vec4f(exponential(x.x), exponential(x.y), exponential(x.z), exponential(x.w));
}

fn joined(a: vec2f, b: vec2f) -> vec2f {
    let largest = max(a.x, b.x);
    return vec2f(largest, a.y * exponential(a.x - largest) + b.y * exponential(b.x - largest));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
    let start = workgroup.x * params.vocabulary;
    let place = params.first_row + workgroup.x;
    let goal = targets[place];
    var part = vec2f(NOTHING, 0.0);
    for (var i = thread; i < params.vocabulary; i += 4u * THREADS) {
        let x = four(start, i);
        let largest = max(max(x.x, x.y), max(x.z, x.w));
        let shares = exponentials(x - largest);
        part = joined(part, vec2f(largest, shares.x + shares.y + shares.z + shares.w));
    }
    parts[thread] = part;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
        if thread < half {
            parts[thread] = joined(parts[thread], parts[thread + half]);
        }
        workgroupBarrier();
    }
    let log_sum = parts[0].x + log(parts[0].y);
    let learned = goal < params.vocabulary;
    if thread == 0u {
        var loss = 0.0;
        if learned {
            loss = log_sum - logits[start + goal];
        }
        losses[place] = loss;
    }
    // The logit that was just read becomes its gradient below, by another thread.
    storageBarrier();
    workgroupBarrier();
    if params.gradient == 0u {
        return;
    }
    let scale = select(0.0, select(params.loss_scale, inputs[1], params.loss_scale == 0.0), learned);
    for (var i = thread; i < params.vocabulary; i += 4u * THREADS) {
        let shares = exponentials(four(start, i) - log_sum);
        let goals = select(vec4f(), vec4f(1.0), vec4u(i) + FOUR == vec4u(goal));
        let slopes = select(vec4f(), (shares - goals) * scale, learned);
        let at = start + i;
        logits[at] = slopes.x;
        if i + THREADS < params.vocabulary {
            logits[at + THREADS] = slopes.y;
        }
        if i + 2u * THREADS < params.vocabulary {
            logits[at + 2u * THREADS] = slopes.z;
        }
        if i + 3u * THREADS < params.vocabulary {
            logits[at + 3u * THREADS] = slopes.w;
        }
    }
}
