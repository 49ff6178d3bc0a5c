using System.Diagnostics;
using Google.Protobuf;
using LongCat.ML.Native;
using LongCat.ML.Onnx;
using Microsoft.ML.OnnxRuntime;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Benchmarks.W4A8;

/// <summary>One way to compute a mixture of experts.</summary>
internal abstract class ExpertContestant(int threads) : IDisposable
{
    public abstract string Label { get; }

    protected int Threads { get; } = threads;

    /// <summary>Seconds of one mixture, in processor time where one thread runs.</summary>
    /// <param name="x">The tokens, [tokens, hidden].</param>
    /// <param name="tokens">How many.</param>
    /// <param name="chosen">The experts of each token, [tokens, top]; written by the first contestant, which chooses.</param>
    public abstract double Seconds(float[] x, int tokens, int[] chosen);

    public abstract void Dispose();

    protected double Now() => Threads == 1 ? PinnedThread.ProcessorSeconds() : Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;

    protected static SessionOptions Options(int threads)
    {
        SessionOptions options = new() { IntraOpNumThreads = threads, InterOpNumThreads = 1 };

        // A contestant's threads may spin while it runs, not while the next one does.
        options.AddSessionConfigEntry("session.force_spinning_stop", "1");
        return options;
    }

    /// <summary>The file of a graph whose weights will be given from memory.</summary>
    protected static string Save(GraphBuilder graph, ExternalData data, string folder)
    {
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, "model.onnx");
        File.WriteAllBytes(path, graph.Build("benchmark").ToByteArray());
        MemoryWeights.WriteEmpty(Path.Combine(folder, "weights.data"), data);
        return path;
    }
}

/// <summary>longcat::ExpertMixture with packed experts: router, choice, products and sums.</summary>
internal sealed unsafe class LongCatExperts : ExpertContestant
{
    private readonly ExpertSizes sizes;
    private readonly InferenceSession session;
    private readonly MemoryWeights given;

    public LongCatExperts(ExpertWeights weights, int threads, string folder)
        : base(threads)
    {
        sizes = weights.Sizes;
        (int experts, int hidden, int inner) = (sizes.Experts, sizes.Hidden, sizes.Intermediate);
        using SessionOptions options = Options(threads);
        options.RegisterCustomOpLibraryV2(NativeLibraryLocator.Find(), out _);
        ExternalData data = new("weights.data");
        GraphBuilder graph = new("experts", data);
        given = new(graph, options);
        Value x = graph.Input("x", ElementType.Float, "T", hidden);
        byte* up = weights.Packed.Bytes + (experts * weights.GateBytes), down = up + (experts * weights.GateBytes);
        Value Stack(string name, byte* at, int outputs, long bytes)
        {
            long panels = (outputs + 63) / 64;
            return given.Add(name, at, ElementType.Uint8, experts, panels, bytes / panels);
        }

        Value Scales(string name, int outputs, int inputs) =>
            given.Add(name, weights.Constant((long)experts * outputs, 1 / (Math.Sqrt(inputs) * 4.6 * 74)), ElementType.Float, experts, outputs);

        graph.Node(
            "longcat", "ExpertMixture",
            [
                x, given.Add("router", weights.Router, ElementType.Float, experts, hidden), Value.None, Stack("gate", weights.Packed.Bytes, inner, weights.GateBytes),
                Stack("up", up, inner, weights.GateBytes), Stack("down", down, hidden, weights.DownBytes), Scales("gate_scale", inner, hidden), Scales("up_scale", inner, hidden),
                Scales("down_scale", hidden, inner),
            ],
            ["y", "selected"],
            NodeAttribute.Int("top_k", sizes.Top), NodeAttribute.Int("num_experts", experts), NodeAttribute.Int("num_zero_experts", 0), NodeAttribute.Float("routed_scaling_factor", 1),
            NodeAttribute.Int("normalize", 1), NodeAttribute.String("zero_expert_type", "drop"), NodeAttribute.Int("layout", 2), NodeAttribute.Int("hidden_size", hidden),
            NodeAttribute.Int("intermediate_size", inner), NodeAttribute.Int("group_size", 128), NodeAttribute.Int("group_scale_bytes", 1));
        graph.Output(new Value("y"), ElementType.Float, "T", hidden);
        graph.Output(new Value("selected"), ElementType.Int32, "T", sizes.Top);
        session = new InferenceSession(Save(graph, data, folder), options);
    }

    public override string Label => "longcat ExpertMixture";

    public override double Seconds(float[] x, int tokens, int[] chosen)
    {
        using OrtValue value = OrtValue.CreateTensorValueFromMemory(x, [tokens, sizes.Hidden]);
        using RunOptions options = new();
        double started = Now();
        using IDisposableReadOnlyCollection<OrtValue> results = session.Run(options, ["x"], [value], session.OutputNames);
        double seconds = Now() - started;
        results[1].GetTensorDataAsSpan<int>().CopyTo(chosen);
        return seconds;
    }

    public override void Dispose()
    {
        session.Dispose();
        given.Dispose();
    }
}

/// <summary>
/// A loop over the chosen experts: three MatMulNBits of accuracy level 4 and SiLU·mul each, a session per expert. Its time leaves out the router, collecting the tokens of an
/// expert and adding up the results. Several threads take experts in turn, those with the most tokens first; each expert runs on one.
/// </summary>
internal sealed unsafe class MatMulNBitsLoop : ExpertContestant
{
    private readonly ExpertSizes sizes;
    private readonly int block;
    private readonly List<InferenceSession> sessions = [];
    private readonly MemoryWeights given;

    public MatMulNBitsLoop(ExpertWeights weights, int block, int threads, string folder)
        : base(threads)
    {
        (sizes, this.block) = (weights.Sizes, block);
        long hidden = sizes.Hidden, inner = sizes.Intermediate, bytes = hidden * inner / 2;
        float* gateScale = weights.Constant(hidden * inner / block, 1 / (Math.Sqrt(hidden) * 4.6)), downScale = weights.Constant(hidden * inner / block, 1 / (Math.Sqrt(inner) * 4.6));
        ExternalData data = new("weights.data");
        GraphBuilder graph = new("expert", data);
        using SessionOptions first = Options(1);
        given = new(graph, first);
        Value x = graph.Input("x", ElementType.Float, "T", hidden);
        Value gate = graph.MatMul4Bits(x, Bits(0, "gate", inner, hidden), Scales("gate_scale", gateScale, inner, hidden), inner, hidden, block, "g");
        Value up = graph.MatMul4Bits(x, Bits(0, "up", inner, hidden), Scales("up_scale", gateScale, inner, hidden), inner, hidden, block, "u");
        Value y = graph.MatMul4Bits(graph.SiluMul(gate, up, "a"), Bits(0, "down", hidden, inner), Scales("down_scale", downScale, hidden, inner), hidden, inner, block, "y");
        graph.Output(y, ElementType.Float, "T", hidden);
        string path = Save(graph, data, folder);
        sessions.Add(new InferenceSession(path, first));
        for (int e = 1; e < sizes.Experts; e++)
        {
            using SessionOptions options = Options(1);
            foreach ((string name, long n, long k) in new[] { ("gate", inner, hidden), ("up", inner, hidden), ("down", hidden, inner) })
            {
                given.Give(options, name, At(e, name), ElementType.Uint8, n, k / block, block / 2);
                given.Give(options, name + "_scale", name == "down" ? downScale : gateScale, ElementType.Float, n, k / block);
            }

            sessions.Add(new InferenceSession(path, options));
        }

        Value Bits(int e, string name, long n, long k) => given.Add(name, At(e, name), ElementType.Uint8, n, k / block, block / 2);

        Value Scales(string name, float* at, long n, long k) => given.Add(name, at, ElementType.Float, n, k / block);

        byte* At(int e, string name) => weights.Bits.Bytes + (bytes * (name switch { "gate" => 2 * e, "up" => (2 * e) + 1, _ => (2 * sizes.Experts) + e }));
    }

    public override string Label => $"loop of MatMulNBits level 4, block {block}";

    public override double Seconds(float[] x, int tokens, int[] chosen)
    {
        int[] rows = new int[sizes.Experts];
        foreach (int e in chosen)
        {
            rows[e]++;
        }

        int[] work = [.. Enumerable.Range(0, sizes.Experts).Where(e => rows[e] > 0).OrderByDescending(e => rows[e])];
        OrtValue[] inputs = [.. work.Select(e => OrtValue.CreateTensorValueFromMemory(OrtMemoryInfo.DefaultInstance, x.AsMemory(0, rows[e] * sizes.Hidden), [rows[e], sizes.Hidden]))];
        try
        {
            int taken = -1;
            using RunOptions options = new();
            double started = Now();
            if (Threads == 1)
            {
                Take();
            }
            else
            {
                Parallel.For(0, Threads, new ParallelOptions { MaxDegreeOfParallelism = Threads }, _ => Take());
            }

            return Now() - started;

            void Take()
            {
                for (int i = Interlocked.Increment(ref taken); i < work.Length; i = Interlocked.Increment(ref taken))
                {
                    InferenceSession session = sessions[work[i]];
                    session.Run(options, ["x"], [inputs[i]], session.OutputNames).Dispose();
                }
            }
        }
        finally
        {
            foreach (OrtValue input in inputs)
            {
                input.Dispose();
            }
        }
    }

    public override void Dispose()
    {
        sessions.ForEach(session => session.Dispose());
        given.Dispose();
    }
}

/// <summary>com.microsoft::QMoE with 4-bit weights in blocks. The router's logits are given to it; it chooses by them.</summary>
internal sealed unsafe class QuantizedMoe : ExpertContestant
{
    private const int Block = 128;
    private readonly ExpertSizes sizes;
    private readonly InferenceSession session;
    private readonly MemoryWeights given;

    public QuantizedMoe(ExpertWeights weights, int threads, string folder)
        : base(threads)
    {
        sizes = weights.Sizes;
        (long experts, long hidden, long inner) = (sizes.Experts, sizes.Hidden, sizes.Intermediate);
        using SessionOptions options = Options(threads);
        ExternalData data = new("weights.data");
        GraphBuilder graph = new("experts", data);
        given = new(graph, options);
        Value x = graph.Input("x", ElementType.Float, "T", hidden), logits = graph.Input("logits", ElementType.Float, "T", experts);
        long first = Math.Max(1, hidden / Block), second = Math.Max(1, inner / Block);
        graph.Node(
            GraphBuilder.MicrosoftDomain, "QMoE",
            [
                x, logits, given.Add("fc1", weights.Bits.Bytes, ElementType.Uint8, experts, 2 * inner, hidden / 2),
                given.Add("fc1_scale", weights.Constant(experts * 2 * inner * first, 1 / (Math.Sqrt(hidden) * 4.6)), ElementType.Float, experts, 2 * inner, first), Value.None,
                given.Add("fc2", weights.Bits.Bytes + (experts * inner * hidden), ElementType.Uint8, experts, hidden, inner / 2),
                given.Add("fc2_scale", weights.Constant(experts * hidden * second, 1 / (Math.Sqrt(inner) * 4.6)), ElementType.Float, experts, hidden, second),
            ],
            ["y"],
            NodeAttribute.Int("k", sizes.Top), NodeAttribute.String("activation_type", "swiglu"), NodeAttribute.Int("swiglu_fusion", 1), NodeAttribute.Int("normalize_routing_weights", 1),
            NodeAttribute.Int("expert_weight_bits", 4), NodeAttribute.Int("block_size", Block), NodeAttribute.Float("activation_alpha", 1), NodeAttribute.Float("activation_beta", 0));
        graph.Output(new Value("y"), ElementType.Float, "T", hidden);
        try
        {
            session = new InferenceSession(Save(graph, data, folder), options);
        }
        catch
        {
            given.Dispose();
            throw;
        }
    }

    public override string Label => $"QMoE, 4 bits, block {Block}";

    public override double Seconds(float[] x, int tokens, int[] chosen)
    {
        // Logits that make it choose the same experts.
        float[] logits = new float[tokens * sizes.Experts];
        for (int i = 0; i < chosen.Length; i++)
        {
            logits[(i / sizes.Top * sizes.Experts) + chosen[i]] = 10;
        }

        using OrtValue value = OrtValue.CreateTensorValueFromMemory(x, [tokens, sizes.Hidden]), routing = OrtValue.CreateTensorValueFromMemory(logits, [tokens, sizes.Experts]);
        using RunOptions options = new();
        double started = Now();
        session.Run(options, ["x", "logits"], [value, routing], session.OutputNames).Dispose();
        return Now() - started;
    }

    public override void Dispose()
    {
        session.Dispose();
        given.Dispose();
    }
}
