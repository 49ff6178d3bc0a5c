using System.Runtime.InteropServices;
using LongCat.ML.Modules;
using TorchSharp;
using TorchSharp.Modules;
using Xunit.Abstractions;

namespace LongCat.ML.Modules.Tests;

public class GradientTests(ITestOutputHelper output)
{
    /// <summary>
    /// Central differences in float32 with step 1e-2 carry about 1e-5 of rounding and 1e-4 of curvature on a loss of about 4; a wrong factor (1/(1+n), a table read
    /// twice) is an error of tens of per cent.
    /// </summary>
    [Theory]
    [InlineData("model.ngram_embeddings.embedders.0.weight")]
    [InlineData("model.ngram_embeddings.embedders.3.weight")]
    [InlineData("model.ngram_embeddings.post_projs.1.weight")]
    [InlineData("model.embed_tokens.weight")]
    public void The_ngram_embedding_has_the_gradient_of_finite_differences(string name)
    {
        using var model = TinyConfig.Create();
        using var batch = new SequenceBatch([1, 7, 8, 9, 7, 8, 9, 2, 1, 7, 8, 30], 1, 12, [0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8]);
        Parameter parameter = model.named_parameters().Single(p => p.name == name).parameter;
        float[] gradient;
        using (torch.NewDisposeScope())
        {
            Loss(model, batch).backward();
            gradient = MemoryMarshal.Cast<byte, float>(parameter.grad!.bytes).ToArray();
        }

        int[] largest = [.. Enumerable.Range(0, gradient.Length).OrderByDescending(i => Math.Abs(gradient[i])).Take(8)];
        const float Step = 1e-2f;
        foreach (int i in largest)
        {
            double difference = (At(i, Step) - At(i, -Step)) / (2 * Step);
            output.WriteLine($"{name}[{i}]: gradient {gradient[i]:E4}, difference {difference:E4}");
            Assert.InRange(gradient[i] - difference, (-0.03 * Math.Abs(difference)) - 2e-4, (0.03 * Math.Abs(difference)) + 2e-4);
        }

        double At(int index, float step)
        {
            using var frozen = torch.no_grad();
            using var scope = torch.NewDisposeScope();
            var values = MemoryMarshal.Cast<byte, float>(parameter.bytes);
            float before = values[index];
            values[index] = before + step;
            double loss = Loss(model, batch).item<float>();
            MemoryMarshal.Cast<byte, float>(parameter.bytes)[index] = before;
            return loss;
        }
    }

    [Fact]
    public void Only_the_rows_that_were_read_have_a_gradient()
    {
        using var model = TinyConfig.Create();
        using var scope = torch.NewDisposeScope();
        using var batch = new SequenceBatch([1, 7, 8, 9], 1, 4);
        Loss(model, batch).backward();
        var ngram = model.Model.NGram!;
        // The last token predicts nothing, so its row gets no gradient.
        long[] read = ngram.TableIds(batch)[..3];
        var table = model.named_parameters().Single(p => p.name == "model.ngram_embeddings.embedders.0.weight").parameter;
        var gradient = MemoryMarshal.Cast<byte, float>(table.grad!.bytes).ToArray();
        int width = (int)table.shape[1];
        for (int row = 0; row < table.shape[0]; row++)
        {
            Assert.Equal(read.Contains(row), gradient.AsSpan(row * width, width).ContainsAnyExcept(0f));
        }
    }

    [Fact]
    public void Selection_bias_has_no_gradient_and_is_part_of_the_state()
    {
        using var model = TinyConfig.Create();
        Assert.DoesNotContain(model.named_parameters(), p => p.name.EndsWith("e_score_correction_bias", StringComparison.Ordinal));
        Assert.Contains("model.layers.0.mlp.router.e_score_correction_bias", model.state_dict().Keys);
    }

    private static torch.Tensor Loss(LongcatFlashForCausalLM model, SequenceBatch batch)
    {
        var logits = model.Logits(model.Forward(batch).Hidden);
        var targets = batch.InputIds.Skip(1).Append(-100).ToArray();
        return torch.nn.functional.cross_entropy(logits, torch.tensor(targets), ignore_index: -100);
    }
}
