using System.Runtime.InteropServices;
using TorchSharp;
using Xunit.Abstractions;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace LongCat.ML.Modules.Tests.StandIn;

/// <summary>The tensor library itself: what the modules and trainers take for granted.</summary>
public sealed class AutogradTests(ITestOutputHelper output)
{
    internal sealed class TwoLayers : Module<Tensor, Tensor>
    {
        private readonly TorchSharp.Modules.Linear first;
        private readonly TorchSharp.Modules.Linear second;
        private readonly TorchSharp.Modules.Parameter scale;
        private readonly Tensor offset;

        internal TwoLayers()
            : base(nameof(TwoLayers))
        {
            first = Linear(5, 7, dtype: float64);
            second = Linear(7, 3, hasBias: false, dtype: float64);
            scale = Parameter(ones(3, dtype: float64));
            offset = zeros(3, dtype: float64);
            RegisterComponents();
        }

        public override Tensor forward(Tensor input) => (second.call(functional.silu(first.call(input))) * scale) + offset;
    }

    [Fact]
    public void Gradients_of_a_small_network_match_central_differences()
    {
        random.manual_seed(7);
        using var model = new TwoLayers();
        using Tensor x = randn(4, 5, dtype: float64);
        using Tensor target = tensor(new long[] { 0, 2, 1, 2 });
        Tensor Loss() => functional.cross_entropy(model.call(x), target);

        using (Tensor loss = Loss())
        {
            loss.backward();
        }

        // Central differences in float64 with step 1e-5 err by step² (1e-10) plus rounding (1e-16 / 1e-5 = 1e-11); 1e-8 leaves room for the curvature.
        const double Step = 1e-5, Tolerance = 1e-8;
        double worst = 0;
        using IDisposable mode = no_grad();
        foreach ((string name, TorchSharp.Modules.Parameter parameter) in model.named_parameters())
        {
            double[] gradient = parameter.grad!.data<double>().ToArray();
            Span<double> values = MemoryMarshal.Cast<byte, double>(parameter.bytes);
            for (int i = 0; i < values.Length; i++)
            {
                double before = values[i];
                values[i] = before + Step;
                double above = Loss().ToDouble();
                values[i] = before - Step;
                double below = Loss().ToDouble();
                values[i] = before;
                double difference = Math.Abs(((above - below) / (2 * Step)) - gradient[i]);
                worst = Math.Max(worst, difference);
                Assert.True(difference < Tolerance, $"{name}[{i}]");
            }
        }

        output.WriteLine($"largest difference {worst:E2}, tolerance {Tolerance:E0}");
    }

    [Fact]
    public void State_dictionary_has_the_names_of_the_fields_and_loads_back()
    {
        using var model = new TwoLayers();
        Dictionary<string, Tensor> state = model.state_dict();
        Assert.Equal(["first.bias", "first.weight", "offset", "scale", "second.weight"], state.Keys.Order(StringComparer.Ordinal));
        Assert.Equal(["first.bias", "first.weight", "scale", "second.weight"], model.named_parameters().Select(p => p.name).Order(StringComparer.Ordinal));

        using var copy = new TwoLayers();
        copy.load_state_dict(state);
        Assert.All(copy.state_dict(), pair => Assert.True(pair.Value.Equals(state[pair.Key]), pair.Key));
        Assert.Throws<InvalidOperationException>(() => copy.load_state_dict(new Dictionary<string, Tensor> { ["first.weight"] = state["first.weight"] }));
    }

    [Fact]
    public void Hooks_see_calls_until_they_are_removed()
    {
        using DisposeScope scope = NewDisposeScope();
        using var model = Linear(3, 2);
        Tensor x = ones(1, 3), plain = model.call(x);
        var before = model.register_forward_pre_hook((_, input) => input * 2);
        int seen = 0;
        var after = model.register_forward_hook((_, input, result) =>
        {
            seen++;
            Assert.Equal(6, input.sum().ToInt32());
            return result + 1;
        });
        Assert.True(model.call(x).allclose(functional.linear(x * 2, model.weight, model.bias) + 1));
        before.remove();
        after.remove();
        Assert.True(model.call(x).Equals(plain));
        Assert.Equal(1, seen);
    }

    [Fact]
    public void Wrong_shapes_throw_and_leave_the_process_alive()
    {
        using Tensor a = zeros(2, 3), b = zeros(4, 5);
        var error = Assert.Throws<ExternalException>(() => a.mm(b));
        Assert.Contains("2x3 and 4x5", error.Message, StringComparison.Ordinal);
        Assert.Throws<ExternalException>(() => a + b);
        Assert.Throws<ExternalException>(() => a.view(7));
        Assert.Throws<ExternalException>(() => cat([a, b], 0));
        Assert.Throws<ExternalException>(() => a.index_select(0, tensor(new long[] { 9 })));
        Assert.Throws<ExternalException>(() => a.backward());
        Assert.Equal(6, a.sum().add(6).ToInt64());
    }

    [Fact]
    public void A_dispose_scope_keeps_what_is_moved_out_and_frees_the_rest()
    {
        Tensor kept, lost, detached;
        using (DisposeScope outer = NewDisposeScope())
        {
            using (DisposeScope inner = NewDisposeScope())
            {
                kept = ones(2).MoveToOuterDisposeScope();
                detached = ones(3).DetachFromDisposeScope();
                lost = ones(4);
            }

            Assert.True(lost.IsInvalid);
            Assert.False(kept.IsInvalid);
            Assert.Equal(1, outer.DisposablesCount);
        }

        Assert.True(kept.IsInvalid);
        Assert.Equal(3, detached.sum().ToInt64());
        detached.Dispose();
        Assert.Throws<InvalidOperationException>(() => detached.shape);
    }
}
