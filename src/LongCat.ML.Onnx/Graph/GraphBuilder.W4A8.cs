using LongCat.ML.Onnx.Messages;
using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx;

/// <summary>The operators of the longcat domain over 4- and 8-bit weights; docs/design.md section 4 is their contract.</summary>
internal sealed partial class GraphBuilder
{
    /// <summary><c>x · wᵀ (+ bias) (+ residual)</c> over rows in 8 bits.</summary>
    public Value W4A8MatMul(QuantizedRows x, W4A8Weights w, string output, Value? bias = null, Value? residual = null) =>
        W4A8MatMul(x.Rows, x.Scale, x.Sums, w, activationScale: 0, output, bias, residual);

    /// <summary>The same over float rows, which the operator rounds to 8 bits: each with its own scale, or all with <paramref name="activationScale"/> where that is above 0.</summary>
    public Value W4A8MatMul(Value x, float activationScale, W4A8Weights w, string output, Value? bias = null, Value? residual = null) =>
        W4A8MatMul(x, Value.None, Value.None, w, activationScale, output, bias, residual);

    /// <summary><c>x · wᵀ</c> with 8-bit weights over float rows, which the operator rounds to 8 or 16 bits.</summary>
    public Value W8A8MatMul(Value x, Int8Weights w, int activationBits, string output) =>
        Single(
            LongCatDomain,
            "W8A8MatMul",
            [x, w.Packed, w.Scale],
            output,
            NodeAttribute.Int("in_features", w.InFeatures),
            NodeAttribute.Int("out_features", w.OutFeatures),
            NodeAttribute.Int("layout", Int8Packing.LayoutVersion),
            NodeAttribute.Int("activation_bits", activationBits));

    /// <summary>Rows of a table that lies as <see cref="W8A8MatMul"/> reads it.</summary>
    public Value Int8Embedding(Value ids, Int8Weights table, string output) =>
        Single(
            LongCatDomain,
            "Int8Embedding",
            [ids, table.Packed, table.Scale],
            output,
            NodeAttribute.Int("in_features", table.InFeatures),
            NodeAttribute.Int("out_features", table.OutFeatures),
            NodeAttribute.Int("layout", Int8Packing.LayoutVersion));

    /// <summary>RMS normalization whose result is rounded to 8 bits.</summary>
    /// <param name="x">float [T, K].</param>
    /// <param name="weight">float [K].</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="format">Of the weights that read the rows.</param>
    /// <param name="activationScale">Every row's scale; 0 for a row's own.</param>
    /// <param name="normed">The name of the float value.</param>
    /// <param name="keepNormed">Whether something reads the float value.</param>
    public QuantizedRows RmsNormQuantize(Value x, Value weight, double epsilon, W4A8Format format, float activationScale, string normed, bool keepNormed)
    {
        QuantizedRows rows = Rows(normed);
        string[] outputs = [rows.Rows.Name, rows.Scale.Name, rows.Sums.Name];
        Node(
            LongCatDomain,
            "RmsNormQuantize",
            [x, weight],
            keepNormed ? [.. outputs, normed] : outputs,
            NodeAttribute.Float("epsilon", epsilon),
            NodeAttribute.Int("group_size", format.GroupSize),
            NodeAttribute.Float("activation_scale", activationScale));
        return rows;
    }

    /// <summary><c>silu(gate) · up</c>, rounded to 8 bits.</summary>
    public QuantizedRows SiluMulQuantize(Value gate, Value up, W4A8Format format, float activationScale, string name)
    {
        QuantizedRows rows = Rows(name);
        Node(
            LongCatDomain,
            "SiluMulQuantize",
            [gate, up],
            [rows.Rows.Name, rows.Scale.Name, rows.Sums.Name],
            NodeAttribute.Int("group_size", format.GroupSize),
            NodeAttribute.Float("activation_scale", activationScale));
        return rows;
    }

    /// <summary>A mixture whose experts have 4-bit weights; it rounds rows and inner activations itself.</summary>
    public Value W4A8ExpertMixture(
        Value x,
        (Value Router, Value CorrectionBias) selection,
        (W4A8Stack Gate, W4A8Stack Up, W4A8Stack Down) experts,
        (long Hidden, long Intermediate) sizes,
        W4A8Format format,
        ExpertMixtureAttributes attributes,
        SparseExperts? sparse,
        string output) =>
        Single(
            LongCatDomain,
            "ExpertMixture",
            [
                x, selection.Router, selection.CorrectionBias, experts.Gate.Packed, experts.Up.Packed, experts.Down.Packed,
                experts.Gate.Scale, experts.Up.Scale, experts.Down.Scale, .. Skipping(sparse, before: 9),
            ],
            output,
            [
                .. Routing(attributes, sparse),
                NodeAttribute.Int("layout", 2),
                NodeAttribute.Int("hidden_size", sizes.Hidden),
                NodeAttribute.Int("intermediate_size", sizes.Intermediate),
                .. Attributes(format),
            ]);

    private Value W4A8MatMul(Value x, Value scale, Value sums, W4A8Weights w, float activationScale, string output, Value? bias, Value? residual) =>
        Single(
            LongCatDomain,
            "W4A8MatMul",
            [x, scale, sums, w.Packed, w.Scale, bias ?? Value.None, residual ?? Value.None],
            output,
            [
                NodeAttribute.Int("in_features", w.InFeatures),
                NodeAttribute.Int("out_features", w.OutFeatures),
                .. Attributes(w.Format),
                NodeAttribute.Int("layout", W4A8Packing.LayoutVersion),
                NodeAttribute.Float("activation_scale", activationScale),
            ]);

    private static AttributeProto[] Attributes(W4A8Format format) =>
        [NodeAttribute.Int("group_size", format.GroupSize), NodeAttribute.Int("group_scale_bytes", format.GroupScaleBytes)];

    private static QuantizedRows Rows(string name) => new(new Value($"{name}.int8"), new Value($"{name}.scale"), new Value($"{name}.sums"));
}
