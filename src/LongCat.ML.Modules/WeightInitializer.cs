using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Random weights for training from scratch, the same on every machine: normal values from a generator of our own, one stream per tensor name.
/// </summary>
/// <remarks>
/// Matrices have standard deviation 1/√in; those that write into the residual stream (<c>o_proj</c>, <c>down_proj</c>) are divided by √(2 · sub-layers);
/// the embedding is larger than the branches, so that the first attention does not drown it (2601.21204, embedding amplification); norms are one, biases zero.
/// </remarks>
public static class WeightInitializer
{
    /// <summary>Overwrites all weights of a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="seed">Any number; equal seeds give equal weights.</param>
    public static void Initialize(LongcatFlashForCausalLM model, ulong seed)
    {
        double residual = 1 / Math.Sqrt(4.0 * model.Config.NumLayers);
        using (no_grad())
        {
            foreach (var (name, value) in model.state_dict())
            {
                double deviation = name switch
                {
                    _ when name.EndsWith("norm.weight", StringComparison.Ordinal) || value.shape.Length == 1 => 0,
                    _ when name.EndsWith("lm_head.weight", StringComparison.Ordinal) => 0.5 / Math.Sqrt(value.shape[1]),
                    _ when name.Contains("embed_tokens", StringComparison.Ordinal) => 0.4,
                    _ when name.Contains("embedders", StringComparison.Ordinal) => 0.2,
                    _ when name.EndsWith("o_proj.weight", StringComparison.Ordinal) || name.EndsWith("down_proj.weight", StringComparison.Ordinal) => residual / Math.Sqrt(value.shape[1]),
                    _ => 1 / Math.Sqrt(value.shape[1]),
                };
                if (deviation == 0)
                {
                    value.fill_(name.EndsWith("bias", StringComparison.Ordinal) ? 0f : 1f);
                }
                else
                {
                    SeededValues.Normal(MemoryMarshal.Cast<byte, float>(value.bytes), deviation, SeededValues.Stream(seed, name));
                }
            }
        }
    }
}
