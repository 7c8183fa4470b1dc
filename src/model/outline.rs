//! A model's parameters for people: the same tensor of every layer told once.

use super::ModelConfig;

/// Tensors of one name and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The name without the layer's number, such as `self_attn.q_proj.weight`.
    pub name: String,
    /// The shape of each, row-major; a linear layer's is `[outputs, inputs]`.
    pub shape: Vec<usize>,
    /// How many there are: one, or one a layer.
    pub copies: usize,
    /// Numbers in all of them.
    pub elements: u64,
}

impl ModelConfig {
    /// The parameters in the order of the forward pass, those that layers share told once.
    pub fn outline(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for spec in self.parameter_list() {
            let layers = self.architecture.names().layers;
            let inside = spec
                .name
                .strip_prefix(layers)
                .and_then(|rest| rest.strip_prefix('.'))
                .and_then(|rest| rest.split_once('.'))
                .map(|(_, name)| name);
            let elements = spec.elements();
            let name = inside.unwrap_or(&spec.name).to_owned();
            match parts.iter_mut().find(|part| inside.is_some() && part.name == name && part.shape == spec.shape) {
                Some(part) => {
                    part.copies += 1;
                    part.elements += elements;
                }
                None => parts.push(Part { name, shape: spec.shape, copies: 1, elements }),
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_told_once() {
        let json = include_str!("../../assets/demo/model/config.json");
        let config = ModelConfig::from_json(json, "config.json").expect("the bundled configuration");
        let parts = config.outline();
        assert_eq!(parts.iter().map(|p| p.elements).sum::<u64>(), config.num_parameters());
        assert_eq!((parts[0].name.as_str(), parts[0].copies), ("model.embed_tokens.weight", 1));
        let q = parts.iter().find(|p| p.name == "self_attn.q_proj.weight").expect("q_proj");
        assert_eq!((q.copies, q.shape.as_slice()), (4, [128, 128].as_slice()));
        assert_eq!(parts.len(), 1 + 9 + 1);
    }
}
