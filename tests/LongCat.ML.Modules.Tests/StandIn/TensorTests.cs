using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules.Tests.StandIn;

/// <summary>Indexing, data and random numbers.</summary>
public sealed class TensorTests
{
    [Fact]
    public void Every_operator_the_stand_in_names_exists()
    {
        Type? table = typeof(torch).Assembly.GetType("TorchSharp.Interop.Ops");
        if (table is null)
        {
            return; // the real package
        }

        var missing = new List<string>();
        foreach (System.Reflection.FieldInfo field in table.GetFields(System.Reflection.BindingFlags.Static | System.Reflection.BindingFlags.NonPublic))
        {
            object op = field.GetValue(null)!;
            try
            {
                op.GetType().GetMethod("Find", System.Reflection.BindingFlags.Instance | System.Reflection.BindingFlags.NonPublic)!.Invoke(op, null);
            }
            catch (System.Reflection.TargetInvocationException e)
            {
                missing.Add($"{field.Name}: {e.InnerException!.Message}");
            }
        }

        Assert.Empty(missing);
    }

    [Fact]
    public void Indexing_follows_the_rules_of_slices_masks_and_index_tensors()
    {
        using Tensor t = arange(24, dtype: float32).reshape(2, 3, 4);
        Assert.Equal([12f, 13, 14, 15], t[1, 0].data<float>().ToArray());
        Assert.Equal([1f, 5, 9, 13, 17, 21], t[.., .., 1].data<float>().ToArray());
        Assert.Equal([2f, 3, 6, 7], t[0, ..2, 2..].data<float>().ToArray());
        Assert.Equal([11f, 23], t[TensorIndex.Ellipsis, ^1][.., 2].data<float>().ToArray());
        Assert.Equal([2L, 1, 3, 4], t[.., TensorIndex.None].shape);
        Assert.Equal([0f, 2, 4], arange(6, dtype: float32)[TensorIndex.Slice(step: 2)].data<float>().ToArray());

        using Tensor rows = tensor(new long[] { 2, 0 });
        Assert.Equal([20f, 21, 22, 23, 12, 13, 14, 15], t[1][TensorIndex.Tensor(rows)].data<float>().ToArray());
        Assert.Equal([22f, 23], t[t > 21].data<float>().ToArray());

        t[0, 0] = 7;
        Assert.Equal(28, t[0, 0].sum().ToSingle());
        t[TensorIndex.Tensor(tensor(new long[] { 1 })), .., 0] = -1f;
        Assert.Equal([-1f, -1, -1], t[1, .., 0].data<float>().ToArray());
        t.index_put_(5f, t < 0);
        Assert.Equal(15, t[1, .., 0].sum().ToSingle());
    }

    [Fact]
    public void Data_goes_in_and_out_of_every_type()
    {
        Assert.Equal([1f, 2, 3], tensor(new[] { 1f, 2, 3 }).data<float>().ToArray());
        Assert.Equal([1L, 2, 3, 4], from_array(new long[,] { { 1, 2 }, { 3, 4 } }).data<long>().ToArray());
        Assert.Equal(2, tensor(new[] { true, false, true }).sum().ToInt64());
        Assert.Equal([1L, 3, 2, 4], tensor(new long[] { 1, 2, 3, 4 }, [2, 2]).t().data<long>().ToArray());
        Assert.Equal(ScalarType.Float32, tensor(1.5f).dtype);
        Assert.Equal(ScalarType.Float64, tensor(1.5).dtype);
        Assert.Equal(1.0, tensor(1.001f).to(bfloat16).ToDouble());
        Assert.Throws<ArgumentException>(() => tensor(new[] { 1f, 2, 3 }, [2, 2]));
        Assert.Throws<ArgumentException>(() => ones(3).data<long>());
        Assert.Throws<ArgumentException>(() => ones(3).item<float>());

        using Tensor t = zeros(2, 3, dtype: int64);
        System.Runtime.InteropServices.MemoryMarshal.Cast<byte, long>(t.bytes).Fill(4);
        Assert.Equal(24, t.sum().ToInt64());
        t.data<long>()[1, 2] = 0;
        Assert.Equal(20, t.sum().item<long>());
    }

    [Fact]
    public void The_same_seed_and_the_same_state_give_the_same_numbers()
    {
        random.manual_seed(11);
        using Tensor a = randn(8);
        using Tensor state = get_rng_state();
        using Tensor b = randn(8);
        random.manual_seed(11);
        Assert.True(randn(8).Equals(a));
        set_rng_state(state);
        Assert.True(randn(8).Equals(b));
    }

    [Fact]
    public void Lists_longer_than_the_call_buffer_come_back_whole()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor[] parts = arange(100).split(1);
        Assert.Equal(100, parts.Length);
        Assert.Equal(Enumerable.Range(0, 100), cat(parts).data<long>().ToArray().Select(i => (int)i));
    }

    [Fact]
    public void Attention_equals_its_definition()
    {
        random.manual_seed(5);
        using DisposeScope scope = NewDisposeScope();
        Tensor q = randn(1, 2, 4, 8), k = randn(1, 2, 4, 8), v = randn(1, 2, 4, 8);
        Tensor mask = ones(4, 4, dtype: @bool).tril();
        Tensor causal = nn.functional.scaled_dot_product_attention(q, k, v, is_casual: true);
        Tensor scores = (q.matmul(k.transpose(-2, -1)) / Math.Sqrt(8)).masked_fill(mask.logical_not(), float.NegativeInfinity);
        Assert.True(causal.allclose(scores.softmax(-1).matmul(v), atol: 1e-6));
        Assert.True(causal.allclose(nn.functional.scaled_dot_product_attention(q, k, v, attn_mask: mask), atol: 1e-6));
    }
}
