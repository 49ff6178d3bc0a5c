namespace LongCat.ML.Onnx;

/// <summary>The operators of ONNX and com.microsoft that only the standard export uses.</summary>
internal sealed partial class GraphBuilder
{
    /// <summary><c>scale · a · bᵀ</c> over the last two dimensions; a weight lies [out, in] as in the checkpoint, and ONNX Runtime packs it when the session is made.</summary>
    public Value MatMulTransposed(Value a, Value b, string output, double scale = 1) =>
        Single(MicrosoftDomain, "FusedMatMul", [a, b], output, NodeAttribute.Int("transB", 1), NodeAttribute.Float("alpha", scale));

    public Value PlainMatMul(Value a, Value b, string output) => Single(OnnxDomain, "MatMul", [a, b], output);

    public Value Binary(string operatorType, Value left, Value right, string output) => Single(OnnxDomain, operatorType, [left, right], output);

    public Value Softmax(Value x, string output) => Single(OnnxDomain, "Softmax", [x], output, NodeAttribute.Int("axis", -1));

    public Value Where(Value condition, Value whenTrue, Value whenFalse, string output) => Single(OnnxDomain, "Where", [condition, whenTrue, whenFalse], output);

    /// <summary>The sum over the last dimension, which stays with size 1.</summary>
    public Value SumLast(Value x, string output) => Single(OnnxDomain, "ReduceSum", [x, Integers(-1)], output, NodeAttribute.Int("keepdims", 1));

    /// <summary>The largest elements of the last dimension and their places; of equal ones the first.</summary>
    public (Value Values, Value Indices) TopK(Value x, long count, string output)
    {
        Node(OnnxDomain, "TopK", [x, Integers(count)], [output + ".values", output], NodeAttribute.Int("axis", -1));
        return (new Value(output + ".values"), new Value(output));
    }

    public Value GatherElements(Value x, Value indices, string output) => Single(OnnxDomain, "GatherElements", [x, indices], output, NodeAttribute.Int("axis", -1));

    public Value ScatterElements(Value x, Value indices, Value updates, string output) =>
        Single(OnnxDomain, "ScatterElements", [x, indices, updates], output, NodeAttribute.Int("axis", -1));

    /// <summary>Writes rows into <paramref name="x"/>: in place where the output is bound to the input's buffer.</summary>
    public Value ScatterRows(Value x, Value indices, Value updates, string output) => Single(OnnxDomain, "ScatterND", [x, indices, updates], output);

    /// <summary><c>sum = x + residual</c> and its RMS norm.</summary>
    public (Value Normed, Value Sum) AddRmsNorm(Value x, Value residual, Value weight, double epsilon, string normed, string sum)
    {
        Node(MicrosoftDomain, "SkipSimplifiedLayerNormalization", [x, residual, weight], [normed, "", "", sum], NodeAttribute.Float("epsilon", epsilon));
        return (new Value(normed), new Value(sum));
    }

    /// <summary>Rotates the heads of x, [batch, sequence, heads · dim].</summary>
    public Value RotaryEmbedding(Value x, Value positionIds, RotaryTables tables, long heads, bool interleaved, string output) =>
        Single(
            MicrosoftDomain,
            "RotaryEmbedding",
            [x, positionIds, tables.Cosine, tables.Sine],
            output,
            NodeAttribute.Int("interleaved", interleaved ? 1 : 0),
            NodeAttribute.Int("num_heads", heads));

    /// <summary>Experts over gate and up rows in turn; the <paramref name="topK"/> largest of softmax(routing) choose and weigh them.</summary>
    public Value MixtureOfExperts(Value x, Value routing, Value gateUp, Value down, long topK, bool normalize, string output) =>
        Single(
            MicrosoftDomain,
            "MoE",
            [x, routing, gateUp, Value.None, down],
            output,
            NodeAttribute.Int("k", topK),
            NodeAttribute.String("activation_type", "swiglu"),
            NodeAttribute.Int("swiglu_fusion", 1),
            NodeAttribute.Float("activation_alpha", 1),
            NodeAttribute.Float("activation_beta", 0),
            NodeAttribute.Int("normalize_routing_weights", normalize ? 1 : 0));

    /// <summary>The sum over one dimension, which goes.</summary>
    public Value Sum(Value x, long axis, string output) => Single(OnnxDomain, "ReduceSum", [x, Integers(axis)], output, NodeAttribute.Int("keepdims", 0));

    /// <summary>
    /// Grouped-query attention over caches [batch, heads, longest, dim] that it writes: in place where past and present are bound to one buffer.
    /// </summary>
    /// <param name="query">[batch, sequence, heads · dim]; with keys and values behind when those are left out.</param>
    /// <param name="key">Or none.</param>
    /// <param name="value">Or none.</param>
    /// <param name="cache">Past keys and values.</param>
    /// <param name="step">What all layers share.</param>
    /// <param name="rotate">Whether the operator rotates queries and keys (halves against each other).</param>
    /// <param name="node">The attributes.</param>
    /// <param name="output">The output's name.</param>
    /// <param name="presentKey">The keys after the step.</param>
    /// <param name="presentValue">The values after the step.</param>
    public Value GroupQueryAttention(
        Value query, Value key, Value value, (Value Key, Value Value) cache, GroupedStep step, bool rotate, GroupQueryAttentionNode node, string output, string presentKey, string presentValue)
    {
        Value[] rotary = rotate ? [step.Rotary.Cosine, step.Rotary.Sine] : node.Streaming ? [Value.None, Value.None] : [];
        Value[] bias = node.Streaming ? [Value.None, step.StreamingBias] : [];
        Node(
            MicrosoftDomain,
            "GroupQueryAttention",
            [query, key, value, cache.Key, cache.Value, step.LastPosition, step.Total, .. rotary, .. bias],
            [output, presentKey, presentValue],
            NodeAttribute.Int("num_heads", node.Heads),
            NodeAttribute.Int("kv_num_heads", node.KeyValueHeads),
            NodeAttribute.Float("scale", node.Scale),
            NodeAttribute.Int("local_window_size", node.Window),
            NodeAttribute.Int("do_rotary", rotate ? 1 : 0),
            NodeAttribute.Int("rotary_interleaved", 0));
        return new Value(output);
    }

    /// <summary><c>a · bᵀ</c> with 4-bit blocks; activations are rounded to 8 bits on the way (accuracy level 4), as GenAI's exports ask for on the CPU.</summary>
    public Value MatMul4Bits(Value a, Value quants, Value scales, long outputs, long inputs, long blockSize, string output) =>
        Single(
            MicrosoftDomain,
            "MatMulNBits",
            [a, quants, scales],
            output,
            NodeAttribute.Int("K", inputs),
            NodeAttribute.Int("N", outputs),
            NodeAttribute.Int("bits", 4),
            NodeAttribute.Int("block_size", blockSize),
            NodeAttribute.Int("accuracy_level", 4));
}
