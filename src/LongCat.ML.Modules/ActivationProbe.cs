using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Sees intermediate results of a forward pass: <c>hidden_states.embed</c>, <c>hidden_states.layer.{l}</c>, <c>hidden_states.norm</c>,
/// <c>attn.{l}.{s}.output</c>, <c>mlp.{l}.{s}.output</c>, <c>moe.{l}.output</c> (<c>attn.{l}.output</c> and <c>mlp.{l}.output</c> where a layer has one attention), and <c>router.{l}.indices</c>, <c>.weights</c>, <c>.probs</c>.
/// </summary>
/// <param name="name">The name of the value.</param>
/// <param name="value">[B·S, width]; valid during the call only, so copy what must outlive it.</param>
public delegate void ActivationProbe(string name, Tensor value);
