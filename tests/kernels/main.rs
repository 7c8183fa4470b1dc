//! Every kernel: the shader, its twin, its gradient.

mod gradients;
mod shaders;
mod twins;
