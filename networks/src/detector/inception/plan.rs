//! The blocks of Inception V3 as a table: what follows what, how wide it is, and what it is called.

/// One block: its branches see the same features, and what they make is joined.
pub(super) struct BlockPlan {
    /// Name in the published file and in torchvision's; empty where the stem's layers have none.
    pub names: [&'static str; 2],
    /// Channels that come in.
    pub inputs: usize,
    /// Branches, in the order in which they are joined.
    pub branches: Vec<Vec<StepPlan>>,
}

/// One step of a branch.
#[derive(Clone, Copy)]
pub(super) enum StepPlan {
    /// A convolution with normalisation and ReLU.
    Conv(ConvPlan),
    /// Two convolutions of the same features, joined.
    Fork([ConvPlan; 2]),
    /// The average of each pixel and its neighbours.
    Average,
    /// The same, or the maximum in FID's network.
    LastPool,
    /// The maximum of every other window of 3×3.
    Halve,
}

/// One convolution.
#[derive(Clone, Copy)]
pub(super) struct ConvPlan {
    /// Name within the block in the published file and in torchvision's.
    pub names: [&'static str; 2],
    /// Channels that come out.
    pub out: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps and edges.
    pub reach: Reach,
}

/// Steps and edges of a convolution.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The size is kept.
    Same,
    /// The kernel stays inside.
    Inside,
    /// The kernel stays inside and goes two pixels at a time.
    Halving,
}

const fn plan(names: [&'static str; 2], out: usize, kernel: [usize; 2], reach: Reach) -> ConvPlan {
    ConvPlan { names, out, kernel, reach }
}

/// A step that keeps the size.
fn conv(published: &'static str, torchvision: &'static str, out: usize, kernel: [usize; 2]) -> StepPlan {
    StepPlan::Conv(plan([published, torchvision], out, kernel, Reach::Same))
}

/// A 3×3 convolution that halves the size.
fn halving(published: &'static str, torchvision: &'static str, out: usize) -> StepPlan {
    StepPlan::Conv(plan([published, torchvision], out, [3, 3], Reach::Halving))
}

/// The network, from the image on.
pub(super) fn blocks() -> Vec<BlockPlan> {
    let mut blocks = vec![stem()];
    blocks.extend([
        block_a(["mixed", "Mixed_5b"], 192, 32),
        block_a(["mixed_1", "Mixed_5c"], 256, 64),
        block_a(["mixed_2", "Mixed_5d"], 288, 64),
        block_b(["mixed_3", "Mixed_6a"], 288),
        block_c(["mixed_4", "Mixed_6b"], 128),
        block_c(["mixed_5", "Mixed_6c"], 160),
        block_c(["mixed_6", "Mixed_6d"], 160),
        block_c(["mixed_7", "Mixed_6e"], 192),
        block_d(["mixed_8", "Mixed_7a"], 768),
        block_e(["mixed_9", "Mixed_7b"], 1280, StepPlan::Average),
        block_e(["mixed_10", "Mixed_7c"], 2048, StepPlan::LastPool),
    ]);
    blocks
}

fn stem() -> BlockPlan {
    let inside = |names, out, kernel| StepPlan::Conv(plan(names, out, kernel, Reach::Inside));
    let branch = vec![
        halving("conv", "Conv2d_1a_3x3", 32),
        inside(["conv_1", "Conv2d_2a_3x3"], 32, [3, 3]),
        conv("conv_2", "Conv2d_2b_3x3", 64, [3, 3]),
        StepPlan::Halve,
        inside(["conv_3", "Conv2d_3b_1x1"], 80, [1, 1]),
        inside(["conv_4", "Conv2d_4a_3x3"], 192, [3, 3]),
        StepPlan::Halve,
    ];
    BlockPlan { names: ["", ""], inputs: 3, branches: vec![branch] }
}

fn block_a(names: [&'static str; 2], inputs: usize, pooled: usize) -> BlockPlan {
    let branches = vec![
        vec![conv("conv", "branch1x1", 64, [1, 1])],
        vec![conv("tower.conv", "branch5x5_1", 48, [1, 1]), conv("tower.conv_1", "branch5x5_2", 64, [5, 5])],
        vec![
            conv("tower_1.conv", "branch3x3dbl_1", 64, [1, 1]),
            conv("tower_1.conv_1", "branch3x3dbl_2", 96, [3, 3]),
            conv("tower_1.conv_2", "branch3x3dbl_3", 96, [3, 3]),
        ],
        vec![StepPlan::Average, conv("tower_2.conv", "branch_pool", pooled, [1, 1])],
    ];
    BlockPlan { names, inputs, branches }
}

fn block_b(names: [&'static str; 2], inputs: usize) -> BlockPlan {
    let branches = vec![
        vec![halving("conv", "branch3x3", 384)],
        vec![
            conv("tower.conv", "branch3x3dbl_1", 64, [1, 1]),
            conv("tower.conv_1", "branch3x3dbl_2", 96, [3, 3]),
            halving("tower.conv_2", "branch3x3dbl_3", 96),
        ],
        vec![StepPlan::Halve],
    ];
    BlockPlan { names, inputs, branches }
}

fn block_c(names: [&'static str; 2], inner: usize) -> BlockPlan {
    let branches = vec![
        vec![conv("conv", "branch1x1", 192, [1, 1])],
        vec![
            conv("tower.conv", "branch7x7_1", inner, [1, 1]),
            conv("tower.conv_1", "branch7x7_2", inner, [1, 7]),
            conv("tower.conv_2", "branch7x7_3", 192, [7, 1]),
        ],
        vec![
            conv("tower_1.conv", "branch7x7dbl_1", inner, [1, 1]),
            conv("tower_1.conv_1", "branch7x7dbl_2", inner, [7, 1]),
            conv("tower_1.conv_2", "branch7x7dbl_3", inner, [1, 7]),
            conv("tower_1.conv_3", "branch7x7dbl_4", inner, [7, 1]),
            conv("tower_1.conv_4", "branch7x7dbl_5", 192, [1, 7]),
        ],
        vec![StepPlan::Average, conv("tower_2.conv", "branch_pool", 192, [1, 1])],
    ];
    BlockPlan { names, inputs: 768, branches }
}

fn block_d(names: [&'static str; 2], inputs: usize) -> BlockPlan {
    let branches = vec![
        vec![conv("tower.conv", "branch3x3_1", 192, [1, 1]), halving("tower.conv_1", "branch3x3_2", 320)],
        vec![
            conv("tower_1.conv", "branch7x7x3_1", 192, [1, 1]),
            conv("tower_1.conv_1", "branch7x7x3_2", 192, [1, 7]),
            conv("tower_1.conv_2", "branch7x7x3_3", 192, [7, 1]),
            halving("tower_1.conv_3", "branch7x7x3_4", 192),
        ],
        vec![StepPlan::Halve],
    ];
    BlockPlan { names, inputs, branches }
}

fn block_e(names: [&'static str; 2], inputs: usize, pool: StepPlan) -> BlockPlan {
    let fork =
        |flat, high| StepPlan::Fork([plan(flat, 384, [1, 3], Reach::Same), plan(high, 384, [3, 1], Reach::Same)]);
    let branches = vec![
        vec![conv("conv", "branch1x1", 320, [1, 1])],
        vec![
            conv("tower_conv", "branch3x3_1", 384, [1, 1]),
            fork(["tower_mixed_conv", "branch3x3_2a"], ["tower_mixed_conv_1", "branch3x3_2b"]),
        ],
        vec![
            conv("tower_1_conv", "branch3x3dbl_1", 448, [1, 1]),
            conv("tower_1_conv_1", "branch3x3dbl_2", 384, [3, 3]),
            fork(["tower_1_mixed_conv", "branch3x3dbl_3a"], ["tower_1_mixed_conv_1", "branch3x3dbl_3b"]),
        ],
        vec![pool, conv("tower_2_conv", "branch_pool", 192, [1, 1])],
    ];
    BlockPlan { names, inputs, branches }
}
