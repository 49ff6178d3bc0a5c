using System.Globalization;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// The mixture of experts in place of the MLP of a decoder layer (Mixtral, arXiv 2401.04088; Qwen3-MoE, arXiv 2505.09388): a softmax over all experts in
/// float32, the <see cref="TopK"/> largest, and their weighted sum.
/// </summary>
public sealed record DecoderMixtureConfig
{
    /// <summary><c>num_experts</c> or <c>num_local_experts</c>: experts per layer.</summary>
    public required int NumExperts { get; init; }

    /// <summary><c>num_experts_per_tok</c>: experts chosen per token, at most <see cref="NumExperts"/>.</summary>
    public required int TopK { get; init; }

    /// <summary><c>moe_intermediate_size</c>, or <c>intermediate_size</c> (Mixtral): width of one expert.</summary>
    public required int ExpertSize { get; init; }

    /// <summary><c>norm_topk_prob</c>: whether the weights of the chosen experts are divided by their sum; Mixtral always does it.</summary>
    public required bool NormalizeTopK { get; init; }

    /// <summary>What the mixture is called in a layer: <c>mlp</c>, or <c>block_sparse_moe</c> (Mixtral). The router is <c>gate</c> below it, expert e is <c>experts.e</c>.</summary>
    public required string BlockName { get; init; }

    /// <summary>What an expert calls its gate matrix: <c>gate_proj</c>, or <c>w1</c> (Mixtral).</summary>
    public required string GateProjection { get; init; }

    /// <summary>What an expert calls the matrix beside the gate: <c>up_proj</c>, or <c>w3</c> (Mixtral).</summary>
    public required string UpProjection { get; init; }

    /// <summary>What an expert calls the matrix back to the hidden size: <c>down_proj</c>, or <c>w2</c> (Mixtral).</summary>
    public required string DownProjection { get; init; }

    /// <summary>The published name of a router's matrix [experts, hidden].</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <returns>The tensor's name.</returns>
    public string RouterName(int layer) => string.Create(CultureInfo.InvariantCulture, $"model.layers.{layer}.{BlockName}.gate.weight");

    /// <summary>The published name of an expert's gate matrix [expert size, hidden].</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <param name="expert">The expert, from 0.</param>
    /// <returns>The tensor's name.</returns>
    public string GateName(int layer, int expert) => ExpertName(layer, expert, GateProjection);

    /// <summary>The published name of the matrix beside the gate [expert size, hidden].</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <param name="expert">The expert, from 0.</param>
    /// <returns>The tensor's name.</returns>
    public string UpName(int layer, int expert) => ExpertName(layer, expert, UpProjection);

    /// <summary>The published name of an expert's matrix back to the hidden size [hidden, expert size].</summary>
    /// <param name="layer">The layer, from 0.</param>
    /// <param name="expert">The expert, from 0.</param>
    /// <returns>The tensor's name.</returns>
    public string DownName(int layer, int expert) => ExpertName(layer, expert, DownProjection);

    private string ExpertName(int layer, int expert, string projection) =>
        string.Create(CultureInfo.InvariantCulture, $"model.layers.{layer}.{BlockName}.experts.{expert}.{projection}.weight");
}
