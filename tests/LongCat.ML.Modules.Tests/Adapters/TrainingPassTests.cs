using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Modules;
using LongCat.ML.TestShared;
using TorchSharp;

namespace LongCat.ML.Modules.Tests.Adapters;

/// <summary>What reaches the trained tensors of whole models.</summary>
public class TrainingPassTests
{
    // Not those with magnitudes: the norms are held while the loss is differentiated, so slopes are not those of differences; LinearAdapterTests has them.
    public static TheoryData<string> Kinds => [.. AdapterKinds.All.Where(kind => !kind.Value.UseDora).Select(kind => kind.Key)];

    /// <summary>
    /// Every trained tensor's gradient along itself against central differences of the loss in float32. The step changes a loss of about 6 by 0.002, of which rounding
    /// takes 3e-6, and crosses few of the bends of a leaky ReLU; a missing factor or a module that is left out is an error of tens of per cent. A model without experts: their
    /// choice jumps.
    /// </summary>
    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_gradient_of_a_model_is_that_of_finite_differences(string kind)
    {
        LoraOptions options = AdapterKinds.All[kind];
        bool pissa = options.Initialization.Kind == LoraInitializationKind.Pissa;
        using TemporaryFolder folder = new();
        using var model = CausalLanguageModel.Load(RandomDecoder.Write(folder["llama"], RandomDecoder.Models["Llama with biases"]));
        using var adapted = AdaptedModel.Attach(model, options with { Targets = AdapterTargets.Names(["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head", .. pissa ? [] : (string[])["embed_tokens"]]), ModulesToSave = ["input_layernorm"] });
        AdapterKinds.Disturb(adapted);
        adapted.StepTo(1, 10);
        using var batch = AdaptedModelTests.Batch();
        Backward(model, batch);
        foreach (AdapterParameter parameter in adapted.Parameters)
        {
            float[] gradient = Gradient(parameter);
            double norm = Math.Sqrt(gradient.Sum(g => (double)g * g));
            Assert.True(norm > 1e-4, $"{parameter.Name} has a gradient of {norm:E1}");
            double step = 0.001 / norm;
            double slope = (At(step) - At(-step)) / (2 * step);
            Assert.True(Math.Abs(slope - norm) <= 0.05 * norm, $"{parameter.Name}: gradient {norm:E3}, differences {slope:E3}");

            double At(double distance)
            {
                using var frozen = torch.no_grad();
                using var scope = torch.NewDisposeScope();
                var before = parameter.Parameter.clone();
                parameter.Parameter.add_(torch.tensor(gradient, parameter.Parameter.shape), distance / norm);
                double loss = Loss(model, batch).ToDouble();
                parameter.Parameter.copy_(before);
                return loss;
            }
        }
    }

    [Fact]
    public void Ngram_tables_give_the_gradients_of_the_rows_that_were_read()
    {
        using var batch = AdaptedModelTests.Batch();
        using var second = new SequenceBatch([1, 7, 8, 9], 1, 4);
        using var model = TinyConfig.Create(seed: 8);
        Backward(model, batch);
        Backward(model, second);
        var dense = model.named_parameters().Where(p => p.name.Contains("embedders", StringComparison.Ordinal))
            .ToDictionary(p => p.name, p => MemoryMarshal.Cast<byte, float>(p.parameter.grad!.bytes).ToArray());
        using var adapted = AdaptedModel.Attach(model, new LoraOptions { TrainNGramTables = true });
        Backward(model, batch);
        Backward(model, second);
        var sparse = adapted.TakeTableGradients();
        Assert.Equal(dense.Count, sparse.Count);
        foreach (TableGradient gradient in sparse)
        {
            Assert.Equal(AdapterRole.NGramTable, gradient.Table.Role);
            Assert.Null(gradient.Table.Parameter.grad);
            int width = (int)gradient.Table.Parameter.shape[1];
            float[] expected = dense[gradient.Table.Name];
            Assert.True(gradient.Rows.Length < gradient.Table.Parameter.shape[0], "all rows have gradients");
            for (int row = 0; row < gradient.Table.Parameter.shape[0]; row++)
            {
                int place = Array.BinarySearch(gradient.Rows, row);
                for (int k = 0; k < width; k++)
                {
                    Assert.Equal(expected[(row * width) + k], place < 0 ? 0 : gradient.Gradient[(place * width) + k], 6);
                }
            }
        }

        Assert.Empty(adapted.TakeTableGradients());
        Assert.Contains("no n-gram tables", Assert.Throws<AdapterException>(() =>
        {
            using TemporaryFolder folder = new();
            using var plain = CausalLanguageModel.Load(RandomDecoder.Write(folder["plain"]));
            using var wrong = AdaptedModel.Attach(plain, new LoraOptions { TrainNGramTables = true });
        }).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Only_experts_that_were_chosen_have_gradients()
    {
        using var model = TinyConfig.Create(seed: 9);
        using var adapted = AdaptedModel.Attach(model, new LoraOptions { Rank = 2, Targets = AdapterTargets.Preset("experts") });
        Assert.Equal(12, adapted.Summary.Modules.Count);
        AdapterKinds.Disturb(adapted);
        using var batch = new SequenceBatch([1, 7], 1, 2);
        using var scope = torch.NewDisposeScope();
        var result = model.Forward(batch);
        model.Logits(result.Hidden).square().sum().backward();
        foreach (AdapterParameter parameter in adapted.Parameters)
        {
            int expert = int.Parse(parameter.Module.Split('.')[5], System.Globalization.CultureInfo.InvariantCulture);
            Assert.Equal(result.Routing[0].Counts[expert] > 0, parameter.Parameter.grad is not null);
        }

        Assert.Contains(adapted.Parameters, p => p.Parameter.grad is not null);
    }

    [Fact]
    public void Dropout_follows_from_seed_step_pass_and_module()
    {
        using var model = TinyConfig.Create(seed: 10);
        using var adapted = AdaptedModel.Attach(model, new LoraOptions { Rank = 2, Dropout = 0.5, Seed = 5 });
        AdapterKinds.Disturb(adapted);
        using var batch = AdaptedModelTests.Batch();
        float[] silent = AdaptedModelTests.Logits(model, batch);
        float first = Step(3), again = Step(3), other = Step(4);
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);
        adapted.StepTo(3, 10);
        Assert.Equal(first, TrainingLoss());
        Assert.NotEqual(first, TrainingLoss());
        Assert.Equal(silent, AdaptedModelTests.Logits(model, batch));
        model.eval();
        Assert.Equal(TrainingLoss(), TrainingLoss());

        float Step(long step)
        {
            adapted.StepTo(step, 10);
            return TrainingLoss();
        }

        float TrainingLoss()
        {
            using var scope = torch.NewDisposeScope();
            return Loss(model, batch).item<float>();
        }
    }

    [Fact]
    public void A_tied_head_is_trained_with_the_embedding_and_stays_out_of_its_adapter()
    {
        using TemporaryFolder folder = new();
        RandomDecoder.Write(folder["tied"], RandomDecoder.Models["Qwen2, tied"]);
        foreach (BaseWeights weights in (BaseWeights[])[BaseWeights.Float32, BaseWeights.BFloat16])
        {
            using var model = CausalLanguageModel.Load(folder["tied"], weights);
            using var batch = new SequenceBatch([1, 7, 8, 9], 1, 4);
            float[] before = AdaptedModelTests.Logits(model, batch);
            using (var adapted = AdaptedModel.Attach(model, new LoraOptions { Targets = AdapterTargets.Names("embed_tokens") }))
            {
                Assert.Equal(before, AdaptedModelTests.Logits(model, batch));
                Assert.Contains("tie_word_embeddings", adapted.WhyNotMergeable, StringComparison.Ordinal);
            }

            using (var adapted = AdaptedModel.Attach(model, new LoraOptions { ModulesToSave = ["embed_tokens"] }))
            {
                AdaptedModelTests.Close(before, AdaptedModelTests.Logits(model, batch), 1e-6);
                AdapterParameter table = adapted.Parameters.Single(p => p.Role == AdapterRole.Saved);
                Backward(model, batch);
                Assert.True(Gradient(table).Count(g => g != 0) > 4 * table.Parameter.shape[1], "the output matrix gives no gradient");
            }

            Assert.Equal(before, AdaptedModelTests.Logits(model, batch));
        }
    }

    internal static torch.Tensor Loss(CausalLanguageModel model, SequenceBatch batch)
    {
        var result = model.Forward(batch);
        var targets = batch.InputIds.Skip(1).Append(-100).ToArray();
        var loss = torch.nn.functional.cross_entropy(model.Logits(result.Hidden), torch.tensor(targets), ignore_index: -100);
        foreach (RoutingDecision decision in result.Routing)
        {
            loss = loss.add(decision.Probabilities.square().sum().mul(0.01));
        }

        return loss;
    }

    internal static void Backward(CausalLanguageModel model, SequenceBatch batch)
    {
        using var scope = torch.NewDisposeScope();
        Loss(model, batch).backward();
    }

    internal static float[] Gradient(AdapterParameter parameter) =>
        parameter.Parameter.grad is { } gradient ? MemoryMarshal.Cast<byte, float>(gradient.bytes).ToArray() : new float[parameter.Parameter.NumberOfElements];
}
