using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using TorchSharp;

namespace LongCat.ML.Modules.Tests.Adapters;

public class AdaptedModelTests
{
    private static readonly AdapterTargets Everything = AdapterTargets.Regex(@".*(proj|proj_with_mqa|post_projs\.\d+)");

    public static TheoryData<string> Kinds => [.. AdapterKinds.All.Keys];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_new_adapter_changes_nothing_whatever_beta_is(string kind)
    {
        using var model = TinyConfig.Create(seed: 3);
        using var batch = Batch();
        float[] before = Logits(model, batch);

        // Magnitudes take the n-gram projections apart, which otherwise are one product: the same sum in another order.
        AdapterTargets? exclude = AdapterKinds.All[kind].UseDora ? AdapterTargets.Regex(".*post_projs.*") : null;
        using var adapted = AdaptedModel.Attach(model, AdapterKinds.All[kind] with { Targets = Everything, Exclude = exclude });
        for (int step = 0; step <= 10; step++)
        {
            adapted.StepTo(step, 10);
            float[] now = Logits(model, batch);
            if (AdapterKinds.All[kind].Initialization.Kind == LoraInitializationKind.Pissa)
            {
                // W - s·B·A is rounded, so W comes back to within its last bits only.
                Close(before, now, 2e-5);
            }
            else
            {
                Assert.Equal(before, now);
            }
        }
    }

    [Fact]
    public void Base_parameters_are_frozen_and_come_back_as_they_were()
    {
        using var model = TinyConfig.Create();
        byte[][] before = [.. model.state_dict().Values.Select(value => value.bytes.ToArray())];
        foreach (LoraOptions kind in AdapterKinds.All.Values)
        {
            using (var adapted = AdaptedModel.Attach(model, kind with { ModulesToSave = ["lm_head"], TrainNGramTables = true }))
            {
                Assert.All(model.named_parameters().Where(p => p.name != "lm_head.weight"), p => Assert.False(p.parameter.requires_grad, p.name));
                AdapterKinds.Disturb(adapted);
            }

            Assert.All(model.named_parameters(), p => Assert.True(p.parameter.requires_grad, p.name));
            Assert.Equal(before, model.state_dict().Values.Select(value => value.bytes.ToArray()));
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Merging_is_exact_up_to_rounding_once_beta_is_zero(string kind)
    {
        using var model = TinyConfig.Create(seed: 4);
        using var batch = Batch();
        using var adapted = AdaptedModel.Attach(model, AdapterKinds.All[kind] with { Targets = Everything });
        AdapterKinds.Disturb(adapted);
        if (AdapterKinds.All[kind].Afa is not null)
        {
            adapted.StepTo(1, 10);
            Assert.False(adapted.IsMergeable);
            var refusal = Assert.Throws<InvalidOperationException>(adapted.Merge);
            Assert.Contains(FormattableString.Invariant($"β = {adapted.Beta:R}"), refusal.Message, StringComparison.Ordinal);
        }

        adapted.StepTo(10, 10);
        Assert.True(adapted.IsMergeable, adapted.WhyNotMergeable);
        float[] beside = Logits(model, batch);
        adapted.Merge();
        Close(beside, Logits(model, batch), 1e-5);
        Assert.Throws<InvalidOperationException>(adapted.Merge);
        adapted.Unmerge();
        Assert.Equal(beside, Logits(model, batch));
        Assert.Throws<InvalidOperationException>(adapted.Unmerge);
    }

    [Fact]
    public void An_approximate_merge_says_how_far_it_is_off()
    {
        using var model = TinyConfig.Create(seed: 4);
        using var batch = Batch();
        using var adapted = AdaptedModel.Attach(model, AdapterKinds.All["AFA ReLU"]);
        AdapterKinds.Disturb(adapted);
        adapted.StepTo(0, 10);
        float[] beside = Logits(model, batch);
        double distance = adapted.MergeApproximate(batch);
        Assert.True(distance > 1e-3, $"distance {distance}");
        float[] merged = Logits(model, batch);
        Assert.Equal(beside.Zip(merged, (a, b) => Math.Abs((double)a - b)).Max(), distance, 6);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_state_comes_back_through_a_folder(string kind)
    {
        using TemporaryFolder folder = new();
        LoraOptions options = AdapterKinds.All[kind] with { ModulesToSave = ["norm"], TrainNGramTables = true };
        using var batch = Batch();
        float[] expected;
        using (var model = TinyConfig.Create(seed: 5))
        using (var adapted = AdaptedModel.Attach(model, options))
        {
            AdapterKinds.Disturb(adapted);
            adapted.StepTo(2, 10);
            expected = Logits(model, batch);
            using var peft = adapted.ToPeft();
            peft.Save(folder["state"]);
        }

        using var state = PeftAdapter.Load(folder["state"]);
        using var second = TinyConfig.Create(seed: 5);
        using (var adapted = AdaptedModel.Attach(second, options))
        {
            adapted.LoadState(state);
            Assert.Equal(expected, Logits(second, batch));
        }

        // The same folder for a model that knows nothing of the options; PiSSA is then a product of twice the rank.
        using (var adapted = AdaptedModel.Attach(second, state))
        {
            Close(expected, Logits(second, batch), options.Initialization.Kind == LoraInitializationKind.Pissa ? 2e-5 : 0);
            Assert.Empty(adapted.Parameters);
        }
    }

    [Fact]
    public void Trained_values_are_counted_per_module()
    {
        using var model = TinyConfig.Create();
        using var adapted = AdaptedModel.Attach(model, new LoraOptions { Rank = 2, Targets = AdapterTargets.Names("o_proj"), ModulesToSave = ["lm_head"] });
        TrainableSummary summary = adapted.Summary;
        Assert.Equal(
            [("model.layers.0.self_attn.0.o_proj", 2, 2L * (16 + 24)), ("model.layers.0.self_attn.1.o_proj", 2, 80), ("lm_head", 0, 50 * 24)],
            summary.Modules.Select(m => (m.Module, m.Rank, m.Trainable)));
        Assert.Equal(1360, summary.Trainable);
        Assert.Equal(adapted.Parameters.Sum(p => p.Parameter.NumberOfElements), summary.Trainable);
        Assert.Contains("1,360 trainable values in 3 modules", summary.ToString(), StringComparison.Ordinal);
        Assert.Equal([AdapterRole.A, AdapterRole.B, AdapterRole.A, AdapterRole.B, AdapterRole.Saved], adapted.Parameters.Select(p => p.Role));
        Assert.Equal("model.layers.0.self_attn.0.o_proj.lora_A.weight", adapted.Parameters[0].Name);
    }

    [Fact]
    public void Bad_input_is_refused_and_leaves_the_model_alone()
    {
        using var model = TinyConfig.Create();
        using var batch = Batch();
        float[] before = Logits(model, batch);
        Assert.Contains("q_a_proj", Assert.Throws<AdapterException>(() => AdaptedModel.Attach(model, new LoraOptions { Targets = AdapterTargets.Names("qa_proj") })).Message, StringComparison.Ordinal);
        Assert.Contains("lm_head", Assert.Throws<AdapterException>(() => AdaptedModel.Attach(model, new LoraOptions { ModulesToSave = ["head"] })).Message, StringComparison.Ordinal);
        Assert.Contains("singular values", Assert.Throws<AdapterException>(() => AdaptedModel.Attach(model, new LoraOptions { Rank = 20, Initialization = LoraInitialization.Pissa })).Message, StringComparison.Ordinal);
        Assert.Contains("embedding", Assert.Throws<AdapterException>(() => AdaptedModel.Attach(model, new LoraOptions { Targets = AdapterTargets.Names("embed_tokens"), Initialization = LoraInitialization.Pissa })).Message, StringComparison.Ordinal);
        Assert.Equal(before, Logits(model, batch));
        Assert.All(model.named_parameters(), p => Assert.True(p.parameter.requires_grad));
        using var adapted = AdaptedModel.Attach(model, new LoraOptions());
        Assert.Contains("has the adapter", Assert.Throws<InvalidOperationException>(() => AdaptedModel.Attach(model, new LoraOptions())).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => model.MoveTo(torch.CPU));
        Assert.Throws<ArgumentOutOfRangeException>(() => adapted.StepTo(-1, 10));
        Assert.Throws<ArgumentOutOfRangeException>(() => adapted.StepTo(0, 0));
        using var other = TinyConfig.Create();
        using var otherAdapted = AdaptedModel.Attach(other, new LoraOptions { Targets = AdapterTargets.Names("o_proj") });
        using var state = otherAdapted.ToPeft();
        Assert.Contains("another run", Assert.Throws<AdapterException>(() => adapted.LoadState(state)).Message, StringComparison.Ordinal);
    }

    internal static SequenceBatch Batch() => new([1, 7, 8, 9, 7, 8, 9, 2, 1, 7, 8, 30], 1, 12, [0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8]);

    internal static float[] Logits(CausalLanguageModel model, SequenceBatch batch)
    {
        using var frozen = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        return MemoryMarshal.Cast<byte, float>(model.Logits(model.Forward(batch).Hidden).bytes).ToArray();
    }

    internal static void Close(float[] expected, float[] actual, double relative)
    {
        double largest = expected.Max(Math.Abs), difference = expected.Zip(actual, (a, b) => Math.Abs((double)a - b)).Max();
        Assert.True(difference <= relative * largest, $"largest difference {difference:E2}, allowed {relative:E0} of {largest:F2}");
    }
}
