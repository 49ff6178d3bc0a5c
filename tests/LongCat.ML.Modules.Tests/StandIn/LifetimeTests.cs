using TorchSharp;
using Xunit.Abstractions;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace LongCat.ML.Modules.Tests.StandIn;

/// <summary>These count the tensors and the memory of the whole process, so nothing runs beside them.</summary>
[CollectionDefinition(nameof(LifetimeTests), DisableParallelization = true)]
[Collection(nameof(LifetimeTests))]
public sealed class LifetimeTests(ITestOutputHelper output)
{
    [Fact]
    public void A_thousand_training_steps_leave_no_tensor_behind()
    {
        random.manual_seed(1);
        using var model = new AutogradTests.TwoLayers();
        using var optimizer = torch.optim.AdamW(model.parameters(), lr: 1e-3);
        using Tensor x = randn(4, 5, dtype: float64);
        using Tensor target = tensor(new long[] { 0, 2, 1, 2 });

        void Step()
        {
            using DisposeScope scope = NewDisposeScope();
            optimizer.zero_grad();
            Tensor loss = functional.cross_entropy(model.call(x), target);
            loss.backward();
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0);
            optimizer.step();
        }

        Step();
        Settle();
        long before = Tensor.TotalCount, memory = 0;
        for (int i = 0; i < 1000; i++)
        {
            Step();
            if (i == 200)
            {
                memory = Environment.WorkingSet;
            }
        }

        // No Settle here: a step must leave nothing for the finalizer to clean up.
        output.WriteLine($"tensors {before} -> {Tensor.TotalCount}, working set grew by {(Environment.WorkingSet - memory) >> 10} KiB over the last 800 steps");
        Assert.Equal(before, Tensor.TotalCount);
    }

    [Fact]
    public void Tensors_that_nobody_disposes_are_freed_by_the_finalizer()
    {
        static void Create()
        {
            for (int i = 0; i < 64; i++)
            {
                _ = zeros(1 << 20); // 4 MiB each
            }
        }

        Settle();
        Create();
        long created = Tensor.TotalCount;
        Settle();

        output.WriteLine($"tensors {created} -> {Tensor.TotalCount}");
        Assert.InRange(created - Tensor.TotalCount, 60, 64); // a register may still hold the last one
    }

    [Fact]
    public void Graphs_of_custom_functions_are_freed()
    {
        void Run()
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor x = ones(1 << 16).requires_grad_();
            _ = CustomFunctionTests.Swell.apply(x, 2.0); // never walked backward
            CustomFunctionTests.Swell.apply(CustomFunctionTests.Swell.apply(x, 2.0), 0.5).sum().backward();
        }

        Run();
        long memory = 0;
        for (int i = 0; i < 600; i++)
        {
            Run();
            if (i == 100)
            {
                memory = Environment.WorkingSet;
            }
        }

        // A round allocates about 2 MiB: 500 leaked rounds would be a gigabyte.
        Assert.InRange(Environment.WorkingSet - memory, long.MinValue, 200L << 20);
    }

    private static void Settle()
    {
        for (int i = 0; i < 5; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }
}
