!> Lateral friction: biharmonic, stress form, with a Smagorinsky, Leith or constant coefficient (or their sum).
module dynldf
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, Nis0, Nie0, Njs0, Nje0, nn_hls
   use dom_oce, only: rn_Dt, fmask, tmask, umask, vmask, e1t2, e2t2, e1f2, e2f2, e1_e2t, e2_e1t, e1_e2f, e2_e1f, &
   &  e1u, e2v, r1_e1u, r1_e2u, r1_e1v, r1_e2v, r1_e1e2u, r1_e1e2v, r1_e1e2f
   use oce, only: uu, vv, e3t, e3f, r1_e3u, r1_e3v
   use lib_mpp, only: ctl_stop
   use in_out_manager, only: lwp, numout
   use namread, only: nam_next, nam_check, nam_where, cnam, cerr
   implicit none
   private
   public :: dyn_ldf, dyn_ldf_init

   logical :: ln_dynldf = .true.         ! friction on
   real(wp) :: rn_cs4 = 0.02_wp          ! Smagorinsky: A4 = cs4 dx**4 |D|
   real(wp) :: rn_cl4 = 0._wp            ! Leith: A4 = cl4 dx**5 |grad zeta|
   real(wp) :: rn_ahm4 = 0._wp           ! constant part of A4 [m4 s-1]
   real(wp) :: rn_ahmcap = 0.8_wp        ! A4 <= cap dx**4 / (128 dt)

   ! Metrics and masks of the two operators as one factor per neighbour, see metrics(): half the loads. All layers have one coast.
   real(wp), allocatable, dimension(:, :, :) :: cdt, cds     ! deformation from velocity (i, factor, j)
   real(wp), allocatable, dimension(:, :, :) :: cdu, cdv     ! divergence of a stress (i, factor, j)
   real(wp), allocatable, dimension(:, :) :: zat, zaf        ! what is added to cs4 |D| to make A4 / dx**4 [s-1]
   real(wp), allocatable, dimension(:, :) :: e1e2t_2, e1e2f_2   ! dx**4 at T and F points [m4]

   ! The work is done in blocks of rows that stay in the second-level cache, with two rows round each computed twice
   ! (192 x 192 x 2, 64 bit: a step takes 1.8 instead of 2.1 ms). The arrays of a block:
   integer :: nblk                                           ! rows of a block
   real(wp), allocatable, dimension(:, :) :: zdt, zds        ! stretching (T) and shear (F) of the velocity [s-1]
   real(wp), allocatable, dimension(:, :) :: zlu, zlv        ! Laplacian of the velocity [m-1 s-1]
   real(wp), allocatable, dimension(:, :) :: zst, zsf        ! h A4 D(lap u) at T and F points
   real(wp), allocatable, dimension(:, :) :: zvor            ! vorticity at F points [s-1]

contains

   !> Read &namdyn_ldf.
   subroutine dyn_ldf_init()
      namelist /namdyn_ldf/ ln_dynldf, rn_cs4, rn_cl4, rn_ahm4, rn_ahmcap
      integer :: ios, ij
      do while (nam_next('namdyn_ldf'))
         read (cnam, namdyn_ldf, iostat=ios, iomsg=cerr)
         call nam_check(ios, cerr)
      end do
      if (.not. min(rn_cs4, rn_cl4, rn_ahm4) >= 0._wp) call ctl_stop('friction coefficients must not be negative.', &
      &  nam_where('namdyn_ldf', 'rn_cs4')//', rn_cl4, rn_ahm4')
      if (.not. rn_ahmcap > 0._wp) call ctl_stop('the cap of the friction coefficient must be positive.', &
      &  nam_where('namdyn_ldf', 'rn_ahmcap'))
      nblk = max(768*1024/(30*jpi*(storage_size(1._wp)/8)) - 2*nn_hls, 8)   ! some 30 arrays in 768 kB
      nblk = min(nblk, jpj - 2*nn_hls)
      ij = nblk + 2*nn_hls
      allocate (zdt(jpi, ij), zds(jpi, ij), zlu(jpi, ij), zlv(jpi, ij), zst(jpi, ij), zsf(jpi, ij), zvor(jpi, ij))
      allocate (zat(jpi, jpj), zaf(jpi, jpj), e1e2t_2(jpi, jpj), e1e2f_2(jpi, jpj))
      zdt = 0._wp; zds = 0._wp; zlu = 0._wp; zlv = 0._wp; zst = 0._wp; zsf = 0._wp; zvor = 0._wp
      e1e2t_2(:, :) = e1t2*e2t2
      e1e2f_2(:, :) = e1f2*e2f2
      zat(:, :) = rn_ahm4/e1e2t_2
      zaf(:, :) = rn_ahm4/e1e2f_2
      call metrics()
      if (lwp) write (numout, '(a,l1,3(a,es10.3))') ' dyn_ldf: on ', ln_dynldf, ', cs4 = ', rn_cs4, ', cl4 = ', rn_cl4, &
      &  ', constant A4 = ', rn_ahm4
   end subroutine dyn_ldf_init

   !> Add the friction of the before velocity, -(1/h) div( h A4 D(lap u) ), with lap u = div D(u), D the deformation (Dt, Ds):
   !!
   !! Dt = e2t/e1t d_i(u/e2u) - e1t/e2t d_j(v/e1v), Ds = e1f/e2f d_j(u/e1u) + e2f/e1f d_i(v/e2v); the wall enters by fmask.
   !! A4 = cs4 dx**4 |D| + cl4 dx**5 |grad zeta| + constant, capped. Source of the form: Griffies & Hallberg (2000).
   subroutine dyn_ldf(Kbb, Kmm, Krhs)
      integer, intent(in) :: Kbb, Kmm, Krhs   !< time levels; thickness is that of now
      integer :: jk, jb, j1, j2, inj
      real(wp) :: zcap
      if (.not. ln_dynldf) return
      zcap = rn_ahmcap/(128._wp*rn_Dt)
      do jb = Njs0, Nje0, nblk
         j1 = jb - nn_hls
         j2 = min(jb + nblk - 1, Nje0) + nn_hls
         inj = j2 - j1 + 1
         do jk = 1, jpk
            call deform(inj, uu(:, j1:j2, jk, Kbb), vv(:, j1:j2, jk, Kbb), cdt(:, :, j1:j2), cds(:, :, j1:j2), zdt, zds)
            call laplace(inj, zdt, zds, cdu(:, :, j1:j2), cdv(:, :, j1:j2), zlu, zlv)
            call deform(inj, zlu, zlv, cdt(:, :, j1:j2), cds(:, :, j1:j2), zst, zsf)
            if (rn_cl4 > 0._wp) call leith(inj, uu(:, j1:j2, jk, Kbb), vv(:, j1:j2, jk, Kbb), e1u(:, j1:j2), e2v(:, j1:j2), &
            &  r1_e1e2f(:, j1:j2), fmask(:, j1:j2, jk), e1e2t_2(:, j1:j2), zvor, zat(:, j1:j2), zaf(:, j1:j2))
            call stress(inj, zdt, zds, zat(:, j1:j2), zaf(:, j1:j2), e1e2t_2(:, j1:j2), e1e2f_2(:, j1:j2), zcap, &
            &           e3t(:, j1:j2, jk, Kmm), e3f(:, j1:j2, jk), zst, zsf)
            call friction(inj, zst, zsf, cdu(:, :, j1:j2), cdv(:, :, j1:j2), r1_e3u(:, j1:j2, jk), r1_e3v(:, j1:j2, jk), &
            &             uu(:, j1:j2, jk, Krhs), vv(:, j1:j2, jk, Krhs))
         end do
      end do
   end subroutine dyn_ldf

   !> The factors c1 to c4 of
   !!    Dt(i,j) = cdt: c1 u(i,j) - c2 u(i-1,j) - (c3 v(i,j) - c4 v(i,j-1))
   !!    Ds(i,j) = cds: c1 u(i,j+1) - c2 u(i,j) + (c3 v(i+1,j) - c4 v(i,j))
   !! and of the divergence of a stress with the components S at T points and F at F points
   !!    along i = cdu: c1 S(i+1,j) - c2 S(i,j) + (c3 F(i,j) - c4 F(i,j-1))
   !!    along j = cdv: c1 F(i,j) - c2 F(i-1,j) - (c3 S(i,j+1) - c4 S(i,j))
   subroutine metrics()
      integer :: ji, jj
      allocate (cdt(jpi, 4, jpj), cds(jpi, 4, jpj), cdu(jpi, 4, jpj), cdv(jpi, 4, jpj))
      cdt = 0._wp; cds = 0._wp; cdu = 0._wp; cdv = 0._wp
      do jj = 2, jpj
         do ji = 2, jpi
            cdt(ji, 1:2, jj) = tmask(ji, jj, 1)*e2_e1t(ji, jj)*r1_e2u(ji:ji - 1:-1, jj)
            cdt(ji, 3:4, jj) = tmask(ji, jj, 1)*e1_e2t(ji, jj)*r1_e1v(ji, jj:jj - 1:-1)
         end do
      end do
      do jj = 1, jpj - 1
         do ji = 1, jpi - 1
            cds(ji, 1:2, jj) = fmask(ji, jj, 1)*e1_e2f(ji, jj)*r1_e1u(ji, jj + 1:jj:-1)
            cds(ji, 3:4, jj) = fmask(ji, jj, 1)*e2_e1f(ji, jj)*r1_e2v(ji + 1:ji:-1, jj)
         end do
      end do
      do jj = 2, jpj - 1
         do ji = 2, jpi - 1
            cdu(ji, 1:2, jj) = umask(ji, jj, 1)*r1_e1e2u(ji, jj)*r1_e2u(ji, jj)*e2t2(ji + 1:ji:-1, jj)
            cdu(ji, 3:4, jj) = umask(ji, jj, 1)*r1_e1e2u(ji, jj)*r1_e1u(ji, jj)*e1f2(ji, jj:jj - 1:-1)
            cdv(ji, 1:2, jj) = vmask(ji, jj, 1)*r1_e1e2v(ji, jj)*r1_e2v(ji, jj)*e2f2(ji:ji - 1:-1, jj)
            cdv(ji, 3:4, jj) = vmask(ji, jj, 1)*r1_e1e2v(ji, jj)*r1_e1v(ji, jj)*e1t2(ji, jj + 1:jj:-1)
         end do
      end do
   end subroutine metrics

   pure subroutine deform(kj, pu, pv, pct, pcs, pdt, pds)
      integer, intent(in) :: kj   ! rows
      real(wp), intent(in), dimension(jpi, kj) :: pu, pv
      real(wp), intent(in), dimension(jpi, 4, kj) :: pct, pcs
      real(wp), intent(inout), dimension(jpi, kj) :: pdt, pds
      integer :: ji, jj
      do jj = 1, kj - 1
         do ji = 1, jpi - 1
            pds(ji, jj) = (pcs(ji, 1, jj)*pu(ji, jj + 1) - pcs(ji, 2, jj)*pu(ji, jj)) &
            &           + (pcs(ji, 3, jj)*pv(ji + 1, jj) - pcs(ji, 4, jj)*pv(ji, jj))
         end do
      end do
      do jj = 2, kj
         do ji = 2, jpi
            pdt(ji, jj) = (pct(ji, 1, jj)*pu(ji, jj) - pct(ji, 2, jj)*pu(ji - 1, jj)) &
            &           - (pct(ji, 3, jj)*pv(ji, jj) - pct(ji, 4, jj)*pv(ji, jj - 1))
         end do
      end do
   end subroutine deform

   pure subroutine laplace(kj, pdt, pds, pcu, pcv, plu, plv)
      integer, intent(in) :: kj   ! rows
      real(wp), intent(in), dimension(jpi, kj) :: pdt, pds
      real(wp), intent(in), dimension(jpi, 4, kj) :: pcu, pcv
      real(wp), intent(inout), dimension(jpi, kj) :: plu, plv
      integer :: ji, jj
      do jj = 2, kj - 1
         do ji = 2, jpi - 1
            plu(ji, jj) = (pcu(ji, 1, jj)*pdt(ji + 1, jj) - pcu(ji, 2, jj)*pdt(ji, jj)) &
            &           + (pcu(ji, 3, jj)*pds(ji, jj) - pcu(ji, 4, jj)*pds(ji, jj - 1))
            plv(ji, jj) = (pcv(ji, 1, jj)*pds(ji, jj) - pcv(ji, 2, jj)*pds(ji - 1, jj)) &
            &           - (pcv(ji, 3, jj)*pdt(ji, jj + 1) - pcv(ji, 4, jj)*pdt(ji, jj))
         end do
      end do
   end subroutine laplace

   !> Multiply the deformation of the Laplacian by h A4. |D| = sqrt(Dt**2 + Ds**2), squares averaged to the other point.
   pure subroutine stress(kj, pdt, pds, pat, paf, pe4t, pe4f, pcap, pe3t, pe3f, pst, psf)
      integer, intent(in) :: kj   ! rows
      real(wp), intent(in), dimension(jpi, kj) :: pdt, pds, pat, paf, pe3t, pe3f
      real(wp), intent(in), dimension(jpi, kj) :: pe4t, pe4f
      real(wp), intent(in) :: pcap
      real(wp), intent(inout), dimension(jpi, kj) :: pst, psf
      real(wp) :: zd
      integer :: ji, jj
      do jj = 3, kj - 1
         do ji = Nis0, Nie0 + 1
            zd = sqrt(pdt(ji, jj)*pdt(ji, jj) &
            &  + 0.25_wp*((pds(ji, jj)*pds(ji, jj) + pds(ji - 1, jj)*pds(ji - 1, jj)) &
            &           + (pds(ji, jj - 1)*pds(ji, jj - 1) + pds(ji - 1, jj - 1)*pds(ji - 1, jj - 1))))
            pst(ji, jj) = pst(ji, jj)*(pe3t(ji, jj)*(pe4t(ji, jj)*min(rn_cs4*zd + pat(ji, jj), pcap)))
         end do
      end do
      do jj = 2, kj - 2
         do ji = Nis0 - 1, Nie0
            zd = sqrt(pds(ji, jj)*pds(ji, jj) &
            &  + 0.25_wp*((pdt(ji, jj)*pdt(ji, jj) + pdt(ji + 1, jj)*pdt(ji + 1, jj)) &
            &           + (pdt(ji, jj + 1)*pdt(ji, jj + 1) + pdt(ji + 1, jj + 1)*pdt(ji + 1, jj + 1))))
            psf(ji, jj) = psf(ji, jj)*(pe3f(ji, jj)*(pe4f(ji, jj)*min(rn_cs4*zd + paf(ji, jj), pcap)))
         end do
      end do
   end subroutine stress

   pure subroutine friction(kj, pst, psf, pcu, pcv, pr3u, pr3v, pru, prv)
      integer, intent(in) :: kj   ! rows
      real(wp), intent(in), dimension(jpi, kj) :: pst, psf, pr3u, pr3v
      real(wp), intent(in), dimension(jpi, 4, kj) :: pcu, pcv
      real(wp), intent(inout), dimension(jpi, kj) :: pru, prv
      integer :: ji, jj
      do jj = 3, kj - 2
         do ji = Nis0, Nie0
            pru(ji, jj) = pru(ji, jj) - pr3u(ji, jj) &
            &             *((pcu(ji, 1, jj)*pst(ji + 1, jj) - pcu(ji, 2, jj)*pst(ji, jj)) &
            &           + (pcu(ji, 3, jj)*psf(ji, jj) - pcu(ji, 4, jj)*psf(ji, jj - 1)))
            prv(ji, jj) = prv(ji, jj) - pr3v(ji, jj) &
            &             *((pcv(ji, 1, jj)*psf(ji, jj) - pcv(ji, 2, jj)*psf(ji - 1, jj)) &
            &           - (pcv(ji, 3, jj)*pst(ji, jj + 1) - pcv(ji, 4, jj)*pst(ji, jj)))
         end do
      end do
   end subroutine friction

   !> Set zat and zaf to cl4 dx |grad zeta| + A4/dx**4. The gradient is taken on the faces, its square averaged to T and F points.
   pure subroutine leith(kj, pu, pv, pe1u, pe2v, pr1f, pfm, pe4t, pvor, pat, paf)
      integer, intent(in) :: kj   ! rows
      real(wp), intent(in), dimension(jpi, kj) :: pu, pv, pe1u, pe2v, pr1f, pfm, pe4t
      real(wp), intent(inout), dimension(jpi, kj) :: pvor, pat, paf
      real(wp) :: zgu, zgv
      integer :: ji, jj
      do jj = 1, kj - 1
         do ji = 1, jpi - 1
            pvor(ji, jj) = ((pe2v(ji + 1, jj)*pv(ji + 1, jj) - pe2v(ji, jj)*pv(ji, jj)) &
            &             - (pe1u(ji, jj + 1)*pu(ji, jj + 1) - pe1u(ji, jj)*pu(ji, jj)))*pr1f(ji, jj)*pfm(ji, jj)
         end do
      end do
      do jj = 2, kj - 1
         do ji = 2, jpi - 1
            zgu = (pvor(ji, jj) - pvor(ji, jj - 1))**2 + (pvor(ji - 1, jj) - pvor(ji - 1, jj - 1))**2
            zgv = (pvor(ji, jj) - pvor(ji - 1, jj))**2 + (pvor(ji, jj - 1) - pvor(ji - 1, jj - 1))**2
            pat(ji, jj) = rn_cl4*sqrt(0.5_wp*(zgu + zgv)) + rn_ahm4/pe4t(ji, jj)
         end do
      end do
      do jj = 2, kj - 2
         do ji = 2, jpi - 2
            paf(ji, jj) = 0.25_wp*((pat(ji, jj) + pat(ji + 1, jj)) + (pat(ji, jj + 1) + pat(ji + 1, jj + 1)))
         end do
      end do
   end subroutine leith
end module dynldf
