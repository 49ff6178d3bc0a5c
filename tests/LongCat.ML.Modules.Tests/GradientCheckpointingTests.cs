using System.Runtime.InteropServices;
using LongCat.ML.Modules;
using LongCat.ML.Modules.Tests.Adapters;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;

namespace LongCat.ML.Modules.Tests;

[CollectionDefinition(nameof(Measured), DisableParallelization = true)]
public sealed class Measured;

/// <summary>Layers that are computed again in the backward pass, and how much memory that and a frozen base take. Measured alone: others would change the process's memory.</summary>
[Collection(nameof(Measured))]
public sealed class GradientCheckpointingTests(ITestOutputHelper output) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Kinds => [.. AdapterKinds.All.Keys];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Gradients_of_adapters_are_the_same_bit_by_bit(string kind)
    {
        string folder = RandomCheckpoint.Write(_folder["longcat"], new RandomCheckpointOptions { Layers = 3 });
        using var model = CausalLanguageModel.Load(folder);
        using var adapted = AdaptedModel.Attach(model, AdapterKinds.All[kind] with { Dropout = 0.2, Targets = Checkpoints.AdapterTargets.AllLinear });
        AdapterKinds.Disturb(adapted);
        using var batch = new SequenceBatch([.. Enumerable.Range(0, 40).Select(i => (long)(i * 37 % 271))], 2, 20);
        float[][] expected = Gradients(false), actual = Gradients(true);
        Assert.Contains(expected, gradient => gradient.Any(value => value != 0));
        Assert.Equal(expected, actual);

        float[][] Gradients(bool again)
        {
            model.GradientCheckpointing = again;
            model.zero_grad();
            adapted.StepTo(1, 10);
            foreach (var parameter in adapted.Parameters)
            {
                parameter.Parameter.grad = null;
            }

            // Two passes, as in gradient accumulation.
            TrainingPassTests.Backward(model, batch);
            TrainingPassTests.Backward(model, batch);
            return [.. adapted.Parameters.Select(TrainingPassTests.Gradient)];
        }
    }

    [Theory]
    [InlineData("longcat")]
    [InlineData("Qwen3-MoE, weights not normalized")]
    [InlineData("Mistral")]
    public void Gradients_of_whole_models_are_the_same_bit_by_bit(string name)
    {
        string folder = name == "longcat" ? RandomCheckpoint.Write(_folder[name], new RandomCheckpointOptions { Layers = 2 }) : RandomDecoder.Write(_folder[name], RandomDecoder.Models[name]);
        using var model = CausalLanguageModel.Load(folder);
        using var batch = new SequenceBatch([.. Enumerable.Range(0, 24).Select(i => (long)(i * 37 % 271))], 1, 24);
        var expected = Gradients(false);
        foreach (var (parameter, gradient) in Gradients(true))
        {
            Assert.True(expected[parameter].AsSpan().SequenceEqual(gradient), parameter);
        }

        Dictionary<string, float[]> Gradients(bool again)
        {
            model.GradientCheckpointing = again;
            model.zero_grad();
            TrainingPassTests.Backward(model, batch);
            return model.named_parameters().Where(p => p.parameter.grad is not null).ToDictionary(p => p.name, p => MemoryMarshal.Cast<byte, float>(p.parameter.grad!.bytes).ToArray());
        }
    }

    /// <summary>Six layers over 256 tokens keep about 26 MB of intermediate results; with inputs alone it is below 1 MB and, in the backward pass, those of one layer.</summary>
    [Fact]
    public void Computing_layers_again_takes_a_fraction_of_the_memory()
    {
        if (!CanMeasure())
        {
            return;
        }

        string folder = RandomDecoder.Write(_folder["large"], new RandomDecoderOptions { HiddenSize = 128, IntermediateSize = 384, Layers = 6 });
        using var model = CausalLanguageModel.Load(folder);
        using var adapted = AdaptedModel.Attach(model, new LoraOptions { Rank = 4 });
        using var batch = new SequenceBatch([.. Enumerable.Range(0, 256).Select(i => (long)(i * 37 % 271))], 1, 256);
        long kept = Growth(false), again = Growth(true);
        output.WriteLine($"native memory after the forward pass: {kept / 1e6:F1} MB, with layers that are computed again {again / 1e6:F1} MB");
        Assert.True(kept > 10e6, $"only {kept} bytes were kept; the measurement says nothing");
        Assert.InRange(again, 0, kept / 4);

        long Growth(bool recompute)
        {
            model.GradientCheckpointing = recompute;
            TrainingPassTests.Backward(model, batch);
            long before = Allocated();
            using var scope = torch.NewDisposeScope();
            var loss = TrainingPassTests.Loss(model, batch);
            long growth = Allocated() - before;
            loss.backward();
            return growth;
        }
    }

    /// <summary>Sixteen matrices of 4 MB in float32: a product that kept its dense copy until the backward pass would add 64 MB.</summary>
    [Fact]
    public void A_frozen_base_is_not_kept_dense()
    {
        if (!CanMeasure())
        {
            return;
        }

        Projection[] layers;
        using (new WeightAllocation(BaseWeights.BFloat16, narrow: true))
        {
            layers = [.. Enumerable.Range(0, 16).Select(_ => new Projection(1024, 1024))];
        }

        using var scope = torch.NewDisposeScope();
        foreach (Projection layer in layers)
        {
            using var frozen = torch.no_grad();
            layer.Weight!.fill_(0.01);
        }

        var input = torch.randn(4, 1024).requires_grad_();
        long before = Allocated();
        var value = input;
        foreach (Projection layer in layers)
        {
            value = layer.forward(value);
        }

        long growth = Allocated() - before;
        output.WriteLine($"native memory grew by {growth / 1e6:F1} MB");
        Assert.InRange(growth, long.MinValue, 32_000_000);
        value.sum().backward();
        Assert.True(input.grad!.isfinite().all().ToBoolean());
        foreach (Projection layer in layers)
        {
            layer.Dispose();
        }
    }

    [StandInFact("the real TorchSharp has no way to make a layer fail in its backward pass from outside")]
    public void A_fault_in_the_backward_pass_is_thrown_by_the_next_forward_pass()
    {
        using var model = TinyConfig.Create();
        model.GradientCheckpointing = true;
        using (torch.NewDisposeScope())
        {
            var batch = AdaptedModelTests.Batch();
            var loss = TrainingPassTests.Loss(model, batch);

            // Without its tables the batch cannot be computed again.
            batch.Dispose();
            loss.backward();
        }

        using var next = AdaptedModelTests.Batch();
        var fault = Assert.Throws<InvalidOperationException>(() => TrainingPassTests.Backward(model, next));
        Assert.Contains("the backward pass before this one failed", fault.Message, StringComparison.Ordinal);
        TrainingPassTests.Backward(model, next);
    }

    /// <summary>Bytes that native code has allocated and not freed: libtorch's tensors. Resident memory would include what the allocator keeps for later.</summary>
    internal static long Allocated()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        MallocInfo info = Mallinfo2();
        return (long)(info.InUse + info.Mapped);
    }

    internal static bool CanMeasure() =>
        NativeLibrary.TryLoad("libc.so.6", typeof(GradientCheckpointingTests).Assembly, null, out nint library) && NativeLibrary.TryGetExport(library, "mallinfo2", out _);

    [DllImport("libc.so.6", EntryPoint = "mallinfo2")]
    private static extern MallocInfo Mallinfo2();

    [StructLayout(LayoutKind.Sequential)]
    private struct MallocInfo
    {
        public nuint Arena;
        public nuint FreeChunks;
        public nuint FastChunks;
        public nuint MappedRegions;
        public nuint Mapped;
        public nuint Highest;
        public nuint FastBytes;
        public nuint InUse;
        public nuint Free;
        public nuint Releasable;
    }
}
