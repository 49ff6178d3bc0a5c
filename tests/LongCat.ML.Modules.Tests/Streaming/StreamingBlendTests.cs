using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using TorchSharp;
using Xunit.Abstractions;
using static LongCat.ML.Modules.Tests.Streaming.StreamingAttentionTests;
using static TorchSharp.torch;

namespace LongCat.ML.Modules.Tests.Streaming;

public class StreamingBlendTests(ITestOutputHelper output)
{
    private const double Rounding = 2e-5;

    public static TheoryData<bool, bool> Kinds => new() { { true, false }, { true, true }, { false, false }, { false, true } };

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void One_is_full_attention_zero_is_streaming_and_between_it_is_both(bool latent)
    {
        using TemporaryFolder folder = new();
        Write(folder["model"], latent);
        long[] ids = Prompt(40, 1);
        var pattern = new StreamingAttentionConfig { BlockSize = 4, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [0, 1] };
        using var model = CausalLanguageModel.Load(folder["model"]);
        var full = Run(model, ids);
        var one = Blended(1);
        var half = Blended(0.5);
        var zero = Blended(0);
        Stream(folder["model"], 4, 1, 2, [0, 1]);
        using var sparse = CausalLanguageModel.Load(folder["model"]);
        var streaming = Run(sparse, ids);
        Assert.True(Difference(full.Logits, one.Logits) <= Rounding);
        Assert.True(Difference(streaming.Logits, zero.Logits) <= Rounding);
        Assert.True(Difference(full.Logits, streaming.Logits) > 1e-2);

        // The first attention has the same input in all of them, so its output is the mean of both.
        Assert.True(Difference([.. full.First.Zip(streaming.First, (f, s) => (f + s) / 2)], half.First) <= Rounding);

        (float[] Logits, float[] First) Blended(double alpha)
        {
            using var blend = StreamingBlend.Attach(model, pattern, alpha);
            Assert.Equal([alpha, alpha], blend.Values);
            return Run(model, ids);
        }
    }

    /// <summary>
    /// Central differences with a step of 5e-3 carry about 1e-5 of float32's rounding in a loss of about 5; a wrong sign, a missing layer or a factor of two is an error of the gradient's size.
    /// </summary>
    [Theory]
    [MemberData(nameof(Kinds))]
    public void Alpha_has_the_gradient_of_finite_differences_and_nothing_else_has_one(bool latent, bool checkpointing)
    {
        using TemporaryFolder folder = new();
        Write(folder["model"], latent);
        using var model = CausalLanguageModel.Load(folder["model"]);
        model.GradientCheckpointing = checkpointing;
        using var blend = StreamingBlend.Attach(model, new StreamingAttentionConfig { BlockSize = 2, SinkBlocks = 1, LocalBlocks = 2, AttentionLayers = [0, 1] }, 0.4);
        long[] ids = Prompt(48, 2);
        using var batch = new SequenceBatch(ids, 1, ids.Length);
        using (NewDisposeScope())
        {
            Loss().backward();
        }

        float[] gradient = Values(blend.Alpha.grad!);
        Assert.All(model.named_parameters(), p => Assert.Null(p.parameter.grad));
        for (int i = 0; i < gradient.Length; i++)
        {
            double difference = (At(i, 5e-3f) - At(i, -5e-3f)) / 1e-2;
            output.WriteLine($"latent {latent}, attention {i}: gradient {gradient[i]:E4}, difference {difference:E4}");
            Assert.InRange(gradient[i] - difference, (-0.03 * Math.Abs(difference)) - 3e-4, (0.03 * Math.Abs(difference)) + 3e-4);
        }

        Assert.Contains(gradient, slope => Math.Abs(slope) > 3e-3);

        double At(int index, float step)
        {
            using var frozen = no_grad();
            using var scope = NewDisposeScope();
            float[] change = new float[gradient.Length];
            change[index] = step;
            blend.Alpha.add_(tensor(change));
            double loss = Loss().item<float>();
            blend.Alpha.sub_(tensor(change));
            return loss;
        }

        Tensor Loss() => nn.functional.cross_entropy(model.Logits(model.Forward(batch).Hidden), tensor(ids.Skip(1).Append(-100).ToArray()), ignore_index: -100);
    }

    [Fact]
    public void The_model_is_afterwards_what_it_was()
    {
        using var model = TinyConfig.Create();
        var parameter = model.named_parameters().First().parameter;
        parameter.requires_grad_(false);
        bool[] before = [.. model.named_parameters().Select(p => p.parameter.requires_grad)];
        long[] ids = [.. Enumerable.Range(0, 30).Select(i => (long)(3 + (i * 7 % 40)))];
        var expected = Run(model, ids);
        using (StreamingBlend.Attach(model, Pattern(0, 1), 0.5))
        {
            Assert.All(model.named_parameters(), p => Assert.False(p.parameter.requires_grad));
            Assert.NotEqual(expected.Logits, Run(model, ids).Logits);
            Assert.DoesNotContain("alpha", string.Join(" ", model.state_dict().Keys), StringComparison.OrdinalIgnoreCase);
        }

        Assert.Equal(before, model.named_parameters().Select(p => p.parameter.requires_grad));
        Assert.Equal(expected.Logits, Run(model, ids).Logits);
    }

    [Fact]
    public void What_cannot_be_blended_is_refused_and_leaves_the_model_alone()
    {
        using var model = TinyConfig.Create();
        Assert.Throws<ArgumentOutOfRangeException>(() => StreamingBlend.Attach(model, Pattern(0), double.NaN));
        Assert.Contains("2 attentions", Assert.Throws<ArgumentException>(() => StreamingBlend.Attach(model, Pattern(2), 0.5)).Message, StringComparison.Ordinal);
        Assert.All(model.named_parameters(), p => Assert.True(p.parameter.requires_grad));
        using (StreamingBlend.Attach(model, Pattern(0), 0.5))
        {
            Assert.Contains("has a blend already", Assert.Throws<InvalidOperationException>(() => StreamingBlend.Attach(model, Pattern(1), 0.5)).Message, StringComparison.Ordinal);
            Assert.Contains("calibrated", Assert.Throws<InvalidOperationException>(() => AdaptedModel.Attach(model, new LoraOptions())).Message, StringComparison.Ordinal);
            Assert.Contains("calibrated", Assert.Throws<InvalidOperationException>(() => model.MoveTo(CPU)).Message, StringComparison.Ordinal);
        }

        using (AdaptedModel.Attach(model, new LoraOptions()))
        {
            Assert.Contains("has adapters already", Assert.Throws<InvalidOperationException>(() => StreamingBlend.Attach(model, Pattern(1), 0.5)).Message, StringComparison.Ordinal);
        }

        using var sparse = CausalLanguageModel.Create(TinyConfig.Read() with { Streaming = Pattern(1) });
        Assert.Contains("has 1, which is streaming", Assert.Throws<ArgumentException>(() => StreamingBlend.Attach(sparse, Pattern(0, 1), 0.5)).Message, StringComparison.Ordinal);
    }

    private static StreamingAttentionConfig Pattern(params int[] attentions) => new() { BlockSize = 4, AttentionLayers = attentions, LocalBlocks = 1 };

    private static void Write(string folder, bool latent)
    {
        if (latent)
        {
            RandomCheckpoint.Write(folder, new RandomCheckpointOptions { Seed = 6 });
        }
        else
        {
            RandomDecoder.Write(folder, new RandomDecoderOptions { Seed = 6, Biases = true });
        }
    }

    private static (float[] Logits, float[] First) Run(CausalLanguageModel model, long[] ids)
    {
        using var frozen = no_grad();
        using var scope = NewDisposeScope();
        using var batch = new SequenceBatch(ids, 1, ids.Length);
        float[] first = [];
        var hidden = model.Forward(batch, (name, value) => first = name is "attn.0.0.output" or "attn.0.output" ? Values(value) : first).Hidden;
        return (Values(model.Logits(hidden)), first);
    }
}
